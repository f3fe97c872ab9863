import { Module, type DynamicModule, type MiddlewareConsumer, type NestModule } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core/helpers/http-adapter-host';
import { APP_FILTER, APP_GUARD, APP_PIPE } from '@nestjs/core/constants';
import { Audit } from '../audit/audit.module';
import { AuthnModule } from '../authn/authn.module';
import { CallerAuthenticator } from '../authn/caller';
import { PeerVerifier } from '../authn/peer-verifier';
import { GrantApprovals, GrantApprovalService, GrantSource } from '../authz/grant-source';
import { factory, Runtime, ServiceCredentials } from '../bootstrap/runtime.module';
import type { Settings } from '../config/settings';
import { Admission, LoopDelay } from '../limits/admission';
import { RateLimits } from '../limits/rate-limits';
import { SecretsModule } from '../secrets/secrets.module';
import { TracedGuard } from '../telemetry/traced';
import { Telemetry } from '../telemetry/telemetry.module';
import { MonotonicTime } from '../time/clock';
import { UserDeprovisioningModule } from '../user-deprovisioning/user-deprovisioning.module';
import { AnswerForms, ErrorFilter } from './answers/envelope';
import { RequestValidationPipe } from './controllers/request-validation';
import { AccessController, UserEventsController } from './controllers/olares.controller';
import { ApiDocumentController } from './controllers/api-document.controller';
import { AppSecretsController } from './controllers/app-secrets.controller';
import { ExplainController, GrantApprovalsController } from './controllers/grants.controller';
import { HealthController } from './controllers/health.controller';
import { EntityTags, SecretsController } from './controllers/secrets.controller';
import { AdmissionGuard, Drain, EarlyRefusals, ThrottledCredentials } from './guards/admission.guard';
import { AuthenticationGuard, RequestAuthenticator, SettingsCallers } from './guards/authentication.guard';
import { CallContexts } from './request/provider-request';
import { CONNECTION_BOUNDS, ConnectionBounds } from './server/accepted-connections';
import { LargeAnswers } from './server/json-answers';
import { RequestBodies } from './server/request-bodies';
import { RequestQueue } from './server/request-queue';
import { ServerParts, StrictExpressAdapter } from './server/strict-express.adapter';

/** What the server is made of, and what bounds the load on it. */
const SERVER_PROVIDERS = [
  factory(AnswerForms, [Runtime], ({ settings }) => new AnswerForms(settings.responseStyle)),
  factory(EntityTags, [ServiceCredentials], ({ accessTokenKey }) => new EntityTags(accessTokenKey)),
  factory(Admission, [Runtime, MonotonicTime, Telemetry], ({ settings: { limits } }, time, telemetry) => {
    const { maxInFlight, maxLoopDelayMs } = limits;
    const loop = maxLoopDelayMs === undefined ? undefined : new LoopDelay(maxLoopDelayMs, time);
    return new Admission(maxInFlight, loop, telemetry.limits);
  }),
  factory(Drain, [Runtime], ({ settings, log }) => new Drain(settings.shutdownTimeoutMs, log)),
  { provide: ConnectionBounds, useValue: CONNECTION_BOUNDS },
  factory(LargeAnswers, [Admission, RateLimits], (admission, limits) => new LargeAnswers(admission, limits)),
  factory(
    ServerParts,
    [
      AnswerForms,
      LargeAnswers,
      ConnectionBounds,
      MonotonicTime,
      Telemetry,
      ServiceCredentials,
      Runtime,
      Audit,
    ],
    (forms, largeAnswers, connectionBounds, time, telemetry, { tls }, { logger: log }, { trail: audit }) => {
      const { requests: observer, limits } = telemetry;
      const requests = new RequestQueue(time, limits);
      return { forms, largeAnswers, requests, connectionBounds, time, observer, limits, audit, tls, log };
    },
  ),
];

/** Only calls of Infisical have a time limit. */
const callContexts = factory(CallContexts, [Runtime, MonotonicTime], ({ settings: { store } }, time) => {
  return new CallContexts(store.kind === 'infisical' ? store.timeoutMs : Infinity, time);
});

const GUARD_PROVIDERS = [
  factory(ThrottledCredentials, [MonotonicTime, Telemetry], (time, { limits }) => {
    return new ThrottledCredentials(time, limits);
  }),
  factory(EarlyRefusals, [Runtime, Drain, ThrottledCredentials, Admission], ({ settings }, ...deps) => {
    return new EarlyRefusals(settings.tls?.clientSubjects, ...deps);
  }),
  factory(
    SettingsCallers,
    [Runtime, CallerAuthenticator, PeerVerifier],
    ({ settings }, authenticator, peers) =>
      new SettingsCallers(authenticator, peers, settings.settingsRoutes, settings.userToken.adminGroup),
  ),
  RequestAuthenticator,
  RequestBodies,
  AuthenticationGuard,
  AdmissionGuard,
  factory(APP_GUARD, [AuthenticationGuard, Telemetry], (guard, { spans }) =>
    spans === undefined ? guard : new TracedGuard(guard, spans),
  ),
  { provide: APP_GUARD, useExisting: AdmissionGuard },
  { provide: APP_PIPE, useClass: RequestValidationPipe },
  factory(APP_FILTER, [AnswerForms, Runtime], (forms, { log }) => new ErrorFilter(forms, log)),
];

const approvalService = factory(
  GrantApprovalService,
  [GrantSource, GrantApprovals, Runtime],
  (source, approvals, { log }) => new GrantApprovalService(source, approvals, log),
);

/** Provides the routes, and equips the server, which Nest makes after all providers. */
@Module({})
export class HttpModule implements NestModule {
  constructor(
    host: HttpAdapterHost<StrictExpressAdapter>,
    parts: ServerParts,
    private readonly earlyRefusals: EarlyRefusals,
  ) {
    host.init$.subscribe(() => host.httpAdapter.equip(parts));
  }

  static register({ settingsRoutes, grants, apiDocs }: Settings): DynamicModule {
    const mayApprove =
      settingsRoutes !== 'off' && grants.kind === 'kubernetes' && grants.feeds.includes('manifests');
    return {
      module: HttpModule,
      imports: [AuthnModule, SecretsModule, UserDeprovisioningModule],
      controllers: [
        SecretsController,
        ExplainController,
        ...(settingsRoutes === 'off' ? [] : [AppSecretsController]),
        ...(mayApprove ? [GrantApprovalsController] : []),
        AccessController,
        UserEventsController,
        HealthController,
        ...(apiDocs ? [ApiDocumentController] : []),
      ],
      providers: [
        ...SERVER_PROVIDERS,
        ...GUARD_PROVIDERS,
        callContexts,
        ...(mayApprove ? [approvalService] : []),
      ],
    };
  }

  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(this.earlyRefusals.middleware).forRoutes('*splat');
  }
}

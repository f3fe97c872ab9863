import { Inject, Module, type DynamicModule, type MiddlewareConsumer, type NestModule } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_PIPE } from '@nestjs/core';
import type { RequestHandler } from 'express';
import { LoggerModule } from 'nestjs-pino';
import type { Adapters } from './adapters';
import type { MonotonicTime } from './clock/monotonic-time';
import type { Settings } from './config/settings';
import { givenCredentials } from './credentials';
import { BackgroundRemovals } from './departures/background-removals';
import { DepartedUsers } from './departures/departed-users';
import { departures } from './departures/departures';
import { AccessService } from './grants/access.service';
import { GrantSource } from './grants/grant-source';
import { GrantsService } from './grants/grants.service';
import { ProxiedCallerService } from './grants/proxied-caller.service';
import { AccessController } from './http/access.controller';
import { AnswerForms } from './http/answer-forms';
import { AppSecretsController } from './http/app-secrets.controller';
import { AuthenticationGuard } from './http/authentication.guard';
import { AdmissionGuard } from './http/admission.guard';
import { ClientSubjects } from './http/client-subjects';
import { Drain } from './http/drain';
import { ErrorFilter } from './http/error.filter';
import { EventSenders } from './http/event-senders';
import { HealthController } from './http/health.controller';
import { inTurn } from './http/in-turn';
import { isProbe } from './http/provider-request';
import { RequestAuthenticator } from './http/request-authenticator';
import { RequestValidationPipe } from './http/request-validation.pipe';
import { SettingsCallers, SettingsRoutesOptions } from './http/settings-callers';
import { ServiceProblems } from './http/service-problems';
import { SecretsController } from './http/secrets.controller';
import { SpentCredentials } from './http/spent-credentials';
import { UserEventsController } from './http/user-events.controller';
import { AccessTokens } from './identity/access-token';
import { AppProofVerifier } from './identity/app-proof.verifier';
import { CallerAuthenticator } from './identity/caller-authenticator';
import { CredentialsAuthenticator } from './identity/credentials.authenticator';
import { NoPeerProof } from './identity/no-peer-proof';
import { PeerProof } from './identity/peer-proof';
import { RbacProxyAuthenticator } from './identity/rbac-proxy.authenticator';
import { UserTokenVerifier } from './identity/user-token.verifier';
import { logEvent, type Log } from './logging/log';
import { protectionProviders, type Protection } from './protection-providers';
import type { Admission } from './protection/admission';
import { AppSecretsService } from './secrets/app-secrets.service';
import { SecretStore } from './secrets/secret-store';
import { SecretsService } from './secrets/secrets.service';
import { TracedGrantsService } from './telemetry/traced.grants.service';
import { TracedGuard } from './telemetry/traced.guard';
import { TracedSecretStore } from './telemetry/traced.secret-store';

/** What the server and the module both need. */
export interface ApplicationParts {
  readonly forms: AnswerForms;
  readonly protection: Protection;
  readonly time: MonotonicTime;
}

interface Step {
  readonly middleware: RequestHandler;
}

const BEFORE_GUARDS = Symbol('before guards');

/** The one wiring diagram. */
@Module({})
export class AppModule implements NestModule {
  constructor(@Inject(BEFORE_GUARDS) private readonly beforeGuards: readonly Step[]) {}

  static register(
    settings: Settings,
    adapters: Adapters,
    { forms, protection, time }: ApplicationParts,
    log: Log,
  ): DynamicModule {
    const { spans } = adapters.telemetry ?? {};
    const {
      store,
      grantSource,
      clock,
      userDirectory,
      serviceAccounts,
      peerProof = new NoPeerProof(),
    } = adapters;
    const { accessTokenKey, userTokenSecret } = adapters.credentials ?? givenCredentials(settings);
    const accessTokens = new AccessTokens(accessTokenKey, clock);
    const userTokens = new UserTokenVerifier(userTokenSecret, clock, userDirectory);
    const { departedUsers, background } = departures({
      store,
      clock,
      time,
      log: logEvent(log),
      users: settings.grants.kind === 'kubernetes' ? adapters.users : undefined,
    });
    return {
      module: AppModule,
      // Its own middleware is left out: it makes two loggers and an asynchronous context for each request.
      imports: [LoggerModule.forRoot({ pinoHttp: { logger: log }, forRoutes: [] })],
      controllers: [
        SecretsController,
        ...(settings.settingsRoutes === 'off' ? [] : [AppSecretsController]),
        AccessController,
        UserEventsController,
        HealthController,
      ],
      providers: [
        { provide: SecretStore, useValue: spans ? new TracedSecretStore(store, spans) : store },
        { provide: GrantSource, useValue: grantSource },
        { provide: AccessTokens, useValue: accessTokens },
        { provide: AppProofVerifier, useValue: new AppProofVerifier(clock, time) },
        {
          provide: CallerAuthenticator,
          useValue: new CredentialsAuthenticator(
            accessTokens,
            userTokens,
            settings.userToken.required,
            serviceAccounts,
          ),
        },
        {
          provide: RbacProxyAuthenticator,
          useValue: new RbacProxyAuthenticator(settings.rbacProxy, peerProof, serviceAccounts),
        },
        {
          provide: SettingsRoutesOptions,
          useValue: new SettingsRoutesOptions(settings.settingsRoutes, settings.userToken.adminGroup),
        },
        SettingsCallers,
        { provide: AnswerForms, useValue: forms },
        {
          provide: GrantsService,
          useValue: spans
            ? new TracedGrantsService(grantSource, settings.workspaceSharing, spans)
            : new GrantsService(grantSource, settings.workspaceSharing),
        },
        AccessService,
        ProxiedCallerService,
        RequestAuthenticator,
        EventSenders,
        { provide: DepartedUsers, useValue: departedUsers },
        { provide: BackgroundRemovals, useValue: background },
        { provide: PeerProof, useValue: peerProof },
        SecretsService,
        AppSecretsService,
        { provide: ServiceProblems, useValue: new ServiceProblems(adapters.problems ?? (() => [])) },
        { provide: ClientSubjects, useValue: new ClientSubjects(settings.tls?.clientSubjects) },
        Drain,
        {
          provide: BEFORE_GUARDS,
          inject: [ClientSubjects, Drain, SpentCredentials],
          useFactory: (...steps: readonly Step[]) => [
            ...steps,
            { middleware: refuseWhileLate(protection.admission) },
          ],
        },
        ...protectionProviders(protection, time),
        AuthenticationGuard,
        {
          provide: APP_GUARD,
          inject: [AuthenticationGuard],
          useFactory: (guard: AuthenticationGuard) => (spans ? new TracedGuard(guard, spans) : guard),
        },
        { provide: APP_GUARD, useExisting: AdmissionGuard },
        { provide: APP_PIPE, useClass: RequestValidationPipe },
        {
          provide: APP_FILTER,
          inject: [AnswerForms],
          useFactory: (forms: AnswerForms) => new ErrorFilter(forms, logEvent(log)),
        },
      ],
    };
  }

  configure(consumer: MiddlewareConsumer): void {
    const steps = this.beforeGuards.map(({ middleware }) => middleware);
    consumer.apply(inTurn(steps)).forRoutes('*splat');
  }
}

function refuseWhileLate(admission: Admission): RequestHandler {
  return (request, _response, next) => {
    if (!isProbe(request)) admission.requireLoopInTime();
    next();
  };
}

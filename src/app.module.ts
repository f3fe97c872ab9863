import { Module, type DynamicModule, type MiddlewareConsumer, type NestModule } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_PIPE } from '@nestjs/core/constants';
import { LoggerModule } from 'nestjs-pino';
import type { Adapters } from './bootstrap/open-adapters';
import type { MonotonicTime } from './time/clock';
import type { Settings } from './config/settings';
import { fixedCredentials } from './bootstrap/credentials';
import { DeletionWorker } from './user-deprovisioning/deletion-worker';
import { UserDeprovisioning, deprovisioning } from './user-deprovisioning/user-deprovisioning';
import { AccessService, ProxiedCallerService } from './authz/access.service';
import { GrantSource } from './authz/grant-source';
import { GrantsService } from './authz/grants.service';
import { AccessController } from './http/controllers/access.controller';
import { AnswerForms } from './http/answers/envelope';
import { AppSecretsController } from './http/controllers/app-secrets.controller';
import { AuthenticationGuard } from './http/guards/authentication.guard';
import { AdmissionGuard } from './http/guards/admission.guard';
import { Drain, EarlyRefusals, ThrottledCredentials } from './http/guards/early-refusals';
import { ErrorFilter } from './http/answers/error.filter';
import { HealthController, ServiceProblems } from './http/controllers/health.controller';
import { RequestAuthenticator } from './http/guards/request-authenticator';
import { RequestValidationPipe } from './http/answers/request-validation.pipe';
import { SettingsCallers, SettingsRoutesOptions } from './http/guards/settings-callers';
import { SecretsController } from './http/controllers/secrets.controller';
import { UserEventsController } from './http/controllers/user-events.controller';
import { AccessTokens } from './authn/access-tokens';
import { AppProofVerifier } from './authn/app-proof.verifier';
import { CallerAuthenticator } from './authn/caller-authenticator';
import { NoPeerVerifier, PeerVerifier } from './authn/peer-verifier';
import { RbacProxyAuthenticator } from './authn/rbac-proxy.authenticator';
import { UserTokenVerifier } from './authn/user-token.verifier';
import { logEvent, type Log } from './logging/log';
import { limitProviders, type Limits } from './bootstrap/limit-providers';
import { Admission } from './limits/admission';
import { AppSecretsService } from './secrets/app-secrets.service';
import { SecretStore } from './secrets/secret-store';
import { SecretsService } from './secrets/secrets.service';
import { TracedGrantsService, TracedGuard, TracedSecretStore } from './telemetry/traced';

/** The objects that the server and the module share. */
export interface ApplicationParts {
  readonly forms: AnswerForms;
  readonly limits: Limits;
  readonly time: MonotonicTime;
}

/** Says which class stands behind which port. */
@Module({})
export class AppModule implements NestModule {
  constructor(private readonly earlyRefusals: EarlyRefusals) {}

  static register(
    settings: Settings,
    adapters: Adapters,
    { forms, limits, time }: ApplicationParts,
    log: Log,
  ): DynamicModule {
    const { spans } = adapters.telemetry ?? {};
    const {
      store,
      grantSource,
      clock,
      userDirectory,
      serviceAccounts,
      peerVerifier = new NoPeerVerifier(),
    } = adapters;
    const { accessTokenKey, userTokenSecret } = adapters.credentials ?? fixedCredentials(settings);
    const accessTokens = new AccessTokens(accessTokenKey, clock);
    const userTokens = new UserTokenVerifier(userTokenSecret, clock, userDirectory);
    const { userDeprovisioning, worker } = deprovisioning({
      store,
      jobStorage: adapters.deletionJobs,
      clock,
      time,
      log: logEvent(log),
      users: settings.grants.kind === 'kubernetes' ? adapters.users : undefined,
    });
    return {
      module: AppModule,
      // Without the module's own middleware, which makes two loggers and an asynchronous context for each request.
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
          useValue: new CallerAuthenticator(
            accessTokens,
            userTokens,
            settings.userToken.required,
            serviceAccounts,
          ),
        },
        {
          provide: RbacProxyAuthenticator,
          useValue: new RbacProxyAuthenticator(settings.rbacProxy, peerVerifier, serviceAccounts),
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
        { provide: UserDeprovisioning, useValue: userDeprovisioning },
        { provide: DeletionWorker, useValue: worker },
        { provide: PeerVerifier, useValue: peerVerifier },
        SecretsService,
        AppSecretsService,
        { provide: ServiceProblems, useValue: new ServiceProblems(adapters.problems ?? (() => [])) },
        Drain,
        {
          provide: EarlyRefusals,
          inject: [Drain, ThrottledCredentials, Admission],
          useFactory: (drain: Drain, throttled: ThrottledCredentials, admission: Admission) =>
            new EarlyRefusals(settings.tls?.clientSubjects, drain, throttled, admission),
        },
        ...limitProviders(limits, time),
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
    consumer.apply(this.earlyRefusals.middleware).forRoutes('*splat');
  }
}

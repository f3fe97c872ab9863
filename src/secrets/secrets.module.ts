import { Module } from '@nestjs/common';
import { AuthnModule } from '../authn/authn.module';
import { ServiceAccountAuthenticator } from '../authn/caller';
import { AccessService, ProxiedCallerService } from '../authz/access.service';
import { GrantSource } from '../authz/grant-source';
import { GrantsService } from '../authz/grants.service';
import { StaticGrants } from '../authz/static-grants';
import { factory, Runtime } from '../bootstrap/runtime.module';
import { TracedGrantsService } from '../telemetry/traced';
import { Telemetry } from '../telemetry/telemetry.module';
import { SecretsService, AppSecretsService } from './secrets.service';

/** Provides the use-cases, and the authorisation that each of them begins with. */
@Module({
  imports: [AuthnModule],
  providers: [
    factory(
      GrantsService,
      [GrantSource, Runtime, Telemetry, ServiceAccountAuthenticator],
      (source, { settings }, { spans }, pods) => {
        const { workspaceSharing, grants } = settings;
        const granted = grants.kind === 'kubernetes' ? grants.staticGrants : [];
        const statics = granted.length > 0 ? new StaticGrants(granted, pods) : undefined;
        return spans === undefined
          ? new GrantsService(source, workspaceSharing, statics)
          : new TracedGrantsService(source, workspaceSharing, spans, statics);
      },
    ),
    AccessService,
    ProxiedCallerService,
    SecretsService,
    AppSecretsService,
  ],
  exports: [AccessService, ProxiedCallerService, GrantsService, SecretsService, AppSecretsService],
})
export class SecretsModule {}

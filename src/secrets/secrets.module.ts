import { Module } from '@nestjs/common';
import { AuthnModule } from '../authn/authn.module';
import { AccessService, ProxiedCallerService } from '../authz/access.service';
import { GrantSource } from '../authz/grant-source';
import { GrantsService } from '../authz/grants.service';
import { factory, Runtime } from '../bootstrap/runtime.module';
import { TracedGrantsService } from '../telemetry/traced';
import { Telemetry } from '../telemetry/telemetry';
import { AppSecretsService } from './app-secrets.service';
import { SecretsService } from './secrets.service';

/** Provides the use-cases, and the authorisation that each of them begins with. */
@Module({
  imports: [AuthnModule],
  providers: [
    factory(GrantsService, [GrantSource, Runtime, Telemetry], (source, { settings }, { spans }) =>
      spans === undefined
        ? new GrantsService(source, settings.workspaceSharing)
        : new TracedGrantsService(source, settings.workspaceSharing, spans),
    ),
    AccessService,
    ProxiedCallerService,
    SecretsService,
    AppSecretsService,
  ],
  exports: [AccessService, ProxiedCallerService, SecretsService, AppSecretsService],
})
export class SecretsModule {}

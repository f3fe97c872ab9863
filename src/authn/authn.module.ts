import { Module } from '@nestjs/common';
import { factory, Runtime, ServiceCredentials } from '../bootstrap/runtime.module';
import { ServiceProblems } from '../http/controllers/health.controller';
import { Telemetry } from '../telemetry/telemetry.module';
import { Clock, MonotonicTime } from '../time/clock';
import { AccessTokens, UserDirectory, UserTokenVerifier } from './tokens';
import { AppProofVerifier } from './app-proof.verifier';
import { CallerAuthenticator, RbacProxyAuthenticator, ServiceAccountAuthenticator } from './caller';
import { IdentityDependency } from './identity-dependency';
import { PeerVerifier } from './peer-verifier';

const LLDAP_TIMEOUT_MS = 3_000;

/** Probes LLDAP at once without waiting for it, so that a wrong address is reported before the first call. */
async function openLldap(
  { settings, log }: Runtime,
  clock: Clock,
  time: MonotonicTime,
  { dependencies: observer }: Telemetry,
  problems: ServiceProblems,
): Promise<UserDirectory | undefined> {
  const { lldapUrl: url } = settings.userToken;
  if (url === undefined) return undefined;
  const { LldapUserDirectory } = await import('../lldap/lldap.user-directory.js');
  const dependency = new IdentityDependency('lldap', { time, log, observer });
  problems.add(() => dependency.sentences());
  return new LldapUserDirectory({ url, timeoutMs: LLDAP_TIMEOUT_MS }, clock, time, dependency);
}

/** Provides what verifies callers. The peers and pods of a cluster are the grant sources' to provide. */
@Module({
  providers: [
    factory(UserDirectory, [Runtime, Clock, MonotonicTime, Telemetry, ServiceProblems], openLldap),
    factory(
      AccessTokens,
      [ServiceCredentials, Clock],
      ({ accessTokenKey }, clock) => new AccessTokens(accessTokenKey, clock),
    ),
    factory(
      UserTokenVerifier,
      [ServiceCredentials, Clock, UserDirectory],
      ({ userTokenSecret }, clock, directory) => new UserTokenVerifier(userTokenSecret, clock, directory),
    ),
    factory(AppProofVerifier, [Clock, MonotonicTime], (clock, time) => new AppProofVerifier(clock, time)),
    factory(
      CallerAuthenticator,
      [Runtime, AccessTokens, UserTokenVerifier, ServiceAccountAuthenticator],
      ({ settings: { userToken } }, accessTokens, userTokens, pods) =>
        new CallerAuthenticator(accessTokens, userTokens, userToken.required, pods),
    ),
    factory(
      RbacProxyAuthenticator,
      [Runtime, PeerVerifier, ServiceAccountAuthenticator],
      ({ settings }, peers, pods) => new RbacProxyAuthenticator(settings.rbacProxy, peers, pods),
    ),
  ],
  exports: [AccessTokens, AppProofVerifier, CallerAuthenticator, RbacProxyAuthenticator],
})
export class AuthnModule {}

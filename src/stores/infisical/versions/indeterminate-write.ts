import { InfisicalCallFailed } from './infisical-call-failed';

/**
 * Whether a failed write may have been carried out: `none`, it was not; `ended`, the server has finished it, so a read shows
 * the outcome; `unending`, it may still be carried out after a read (the servers cut the connection at 30 s and go on).
 */
export type IndeterminateWrite = 'none' | 'ended' | 'unending';

export function indeterminateAfter(failure: InfisicalCallFailed): IndeterminateWrite {
  if (failure.call === 'login' || failure.call === 'probe') return 'none';
  switch (failure.reason) {
    case 'serverFailure':
    case 'notUnderstood':
      return 'ended';
    case 'notInfisical':
      return (failure.status ?? 0) >= 400 ? 'ended' : 'unending';
    case 'timedOut':
    case 'connectionLost':
    case 'gatewayFailure':
    case 'unexpectedAnswer':
    case 'answerTooLarge':
      return 'unending';
    case 'credentialsRefused':
    case 'serviceAccountTokenUnreadable':
    case 'tokenDead':
    case 'permissionDenied':
    case 'notAMember':
    case 'notFound:secret':
    case 'notFound:environment':
    case 'notFound:project':
    case 'alreadyExists:secret':
    case 'alreadyExists:environment':
    case 'alreadyExists:project':
    case 'environmentHeld':
    case 'conflict':
    case 'invalidRequest':
    case 'nameRefused':
    case 'tooLarge':
    case 'rateLimited':
    case 'routeNotFound':
    case 'unreachable':
    case 'certificate:unknownAuthority':
    case 'certificate:wrongHost':
    case 'certificate:expired':
    case 'certificate:notYetValid':
    case 'certificate:refused':
    case 'tlsFailed':
    case 'proxyFailed':
    case 'proxyRefused':
    case 'outOfTime':
      return 'none';
  }
}

/** Returns whether the call may have been carried out, or may still be. */
export function leavesIndeterminate(error: unknown): boolean {
  return error instanceof InfisicalCallFailed && indeterminateAfter(error) !== 'none';
}

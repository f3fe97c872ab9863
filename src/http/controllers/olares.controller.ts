import { Body, Controller, Post, Req } from '@nestjs/common';
import type { AppProof } from '../../authn/app-proof.verifier';
import { type RequestedPermission, AccessService } from '../../authz/access.service';
import { InvalidRequest } from '../../errors/request-errors';
import { fieldsOf } from '../../json/json';
import { UserDeprovisioning } from '../../user-deprovisioning/user-deprovisioning';
import { DONE, type Envelope } from '../answers/envelope';
import { PLAIN_USER } from '../request/credential-headers';
import { EventRoute, type ProviderRequest, PublicRoute } from '../request/provider-request';

const MAX_OPS = 64;
const MAX_TEXT_LENGTH = 1024;
const NOT_OF_THE_FORM = 'the request is not of the form {app_key, timestamp, token, perm}';
const TOO_MANY_OPS = `the request has more than ${MAX_OPS} ops; ask for those that are needed, or twice`;

/** Issues access tokens in the form of Olares' system-server (contract, section 4), which today's clients read. */
@Controller('permission/v1alpha1')
@PublicRoute()
export class AccessController {
  constructor(private readonly access: AccessService) {}

  @Post('access')
  async request(@Body() body: object, @Req() request: ProviderRequest): Promise<AccessAnswer> {
    const asked = parseAccessRequest(body);
    if ('refusal' in asked) {
      request.failure = 'INVALID_REQUEST';
      return { code: 1, message: asked.refusal };
    }
    const outcome = await this.access.request(asked.proof, asked.permission, request.socket.remoteAddress);
    switch (outcome.kind) {
      case 'issued': {
        const { token, expiresAtMs } = outcome.issued;
        request.access = outcome.of;
        const data = { access_token: token, expired_at: new Date(expiresAtMs).toISOString() };
        return { code: 0, message: 'success', data };
      }
      case 'unproven': {
        const { claimed, refusal } = outcome;
        request.failure = 'UNAUTHENTICATED';
        request.access = { ...refusal, claimedApp: claimed?.app, claimedUser: claimed?.user };
        return { code: 100001, message: 'invalid auth token' };
      }
      case 'refused':
        request.failure = 'NOT_GRANTED';
        request.access = outcome.of;
        return { code: 1, message: `permission required is not allowed: ${outcome.missing}` };
    }
  }
}

/** system-server's own answer, byte for byte what today's clients read: HTTP 200 always, `code` 0 on success; times in RFC 3339. */
interface AccessAnswer {
  readonly code: 0 | 1 | 100001;
  readonly message: string;
  readonly data?: { readonly access_token: string; readonly expired_at: string };
}

/**
 * Parses `{app_key, timestamp, token, perm}`, or returns why it is refused. Unlike all other requests, unknown fields
 * are ignored: today's clients send more than the documented ones (their `perm` is a whole struct).
 */
function parseAccessRequest(
  body: unknown,
): { readonly proof: AppProof; readonly permission: RequestedPermission } | { readonly refusal: string } {
  const refused = { refusal: NOT_OF_THE_FORM };
  if (!isObject(body) || !isObject(body['perm'])) return refused;
  const { app_key: appKey, timestamp: timestampS, token: hash, perm } = body;
  const { dataType, group, version, ops } = perm;
  if (!isText(appKey) || !isText(hash) || !Number.isSafeInteger(timestampS)) return refused;
  if (!isText(dataType) || !isText(group) || !isText(version) || !Array.isArray(ops)) return refused;
  if (ops.length > MAX_OPS) return { refusal: TOO_MANY_OPS };
  if (!ops.every(isText)) return refused;
  return {
    proof: { appKey, timestampS: timestampS as number, hash },
    permission: { dataType, group, version, ops },
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_TEXT_LENGTH;
}

/** Receives system events of Olares (contract, section 7). Their sender waits 2 s and repeats every event that is answered with 400 or more. */
@Controller('user')
@EventRoute()
export class UserEventsController {
  constructor(private readonly userDeprovisioning: UserDeprovisioning) {}

  @Post('create')
  async created(@Body() body: unknown, @Req() { audit }: ProviderRequest): Promise<Envelope<''>> {
    const user = userOfEvent(body);
    await audit?.changes();
    await this.userDeprovisioning.userCreated(user);
    return DONE;
  }

  /** Answers once the deletion job is stored; the job itself runs in the background. */
  @Post('delete')
  async deleted(@Body() body: unknown, @Req() { audit }: ProviderRequest): Promise<Envelope<''>> {
    const user = userOfEvent(body);
    await audit?.changes();
    await this.userDeprovisioning.userDeleted(user);
    return DONE;
  }
}

/** Returns the user whom a system event names, and ignores its other fields. @throws InvalidRequest */
function userOfEvent(body: unknown): string {
  const { name } = fieldsOf(body);
  if (typeof name === 'string' && PLAIN_USER.test(name)) return name;
  throw new InvalidRequest('name', 'must be the name of one user');
}

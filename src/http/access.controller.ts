import { Body, Controller, HttpCode, Post, Req } from '@nestjs/common';
import { AccessService } from '../grants/access.service';
import { parseAccessRequest } from './access-request';
import type { ProviderRequest } from './provider-request';
import { PublicRoute } from './route-sender';

/** system-server's own form, byte for byte what today's clients read: HTTP 200 always, `code` 0 on success. */
type AccessAnswer =
  | { readonly code: 0; readonly message: 'success'; readonly data: AccessTokenView }
  | { readonly code: 1 | 100001; readonly message: string };

interface AccessTokenView {
  readonly access_token: string;
  /** RFC 3339. */
  readonly expired_at: string;
}

@Controller('permission/v1alpha1')
@PublicRoute()
export class AccessController {
  constructor(private readonly access: AccessService) {}

  @Post('access')
  @HttpCode(200)
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
        return {
          code: 0,
          message: 'success',
          data: { access_token: token, expired_at: new Date(expiresAtMs).toISOString() },
        };
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

import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import { AccessService } from '../grants/access.service';
import { parseAccessRequest } from './access-request';
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
  async request(@Body() body: object): Promise<AccessAnswer> {
    const request = parseAccessRequest(body);
    if (request === undefined)
      return { code: 1, message: 'the request is not of the form {app_key, timestamp, token, perm}' };
    const outcome = await this.access.request(request.proof, request.permission);
    switch (outcome.kind) {
      case 'issued': {
        const { token, expiresAtMs } = outcome.issued;
        return {
          code: 0,
          message: 'success',
          data: { access_token: token, expired_at: new Date(expiresAtMs).toISOString() },
        };
      }
      case 'unproven':
        return { code: 100001, message: 'invalid auth token' };
      case 'refused':
        return { code: 1, message: `permission required is not allowed: ${outcome.missing}` };
    }
  }
}

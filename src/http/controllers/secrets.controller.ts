import {
  createParamDecorator,
  type ExecutionContext,
  Body,
  Controller,
  HttpCode,
  Post,
  Query,
} from '@nestjs/common';
import type { Response } from 'express';
import type { ReadReport } from '../../secrets/secret-store';
import type { Caller } from '../../authn/caller';
import type { Environment } from '../../secrets/secret';
import { SecretsService, type SecretLocation } from '../../secrets/secrets.service';
import { CurrentCaller } from '../request/route-access';
import { DONE, ok, type Envelope } from '../answers/envelope';
import { ListSecretRequest, NamedSecretRequest, SecretRequest, WorkspaceQuery } from './secret-requests';

/**
 * Sets `Age` and `Cache-Status` (RFC 9211) where the cache answers while the store is unavailable. `ttl` is minus the age,
 * the longest that the answer can have been stale.
 */
const CacheStatus = createParamDecorator((_: unknown, context: ExecutionContext): ReadReport => {
  const response = context.switchToHttp().getResponse<Response>();
  return {
    servedStale: (ageMs) => {
      const ageS = Math.ceil(ageMs / 1000);
      response.setHeader('Age', String(ageS));
      response.setHeader(
        'Cache-Status',
        `olares-secret-provider; hit; ttl=-${ageS}; detail=STORE_UNAVAILABLE`,
      );
    },
  };
});

/** A secret as the contract shows it; `env` is the effective one, also where the request left it out. */
interface SecretView {
  readonly name: string;
  readonly value: string;
  readonly env: Environment;
}

/** A list, and the names that are missing in it since the store cannot show their values. */
interface ListAnswer extends Envelope<readonly SecretView[]> {
  readonly unreadable?: readonly string[];
}

/** The five operations of the provider API. */
@Controller()
export class SecretsController {
  constructor(private readonly secrets: SecretsService) {}

  @Post('RetrieveSecret')
  @HttpCode(200)
  async retrieve(
    @CurrentCaller() caller: Caller,
    @Query() query: WorkspaceQuery,
    @Body() { name, env }: NamedSecretRequest,
    @CacheStatus() report: ReadReport,
  ): Promise<Envelope<SecretView>> {
    const secret = await this.secrets.retrieve(caller, locationOf(query, env), name, report);
    return ok({ ...secret, env });
  }

  @Post('CreateSecret')
  @HttpCode(200)
  async create(
    @CurrentCaller() caller: Caller,
    @Query() query: WorkspaceQuery,
    @Body() { name, value, env }: SecretRequest,
  ): Promise<Envelope<''>> {
    await this.secrets.create(caller, locationOf(query, env), { name, value });
    return DONE;
  }

  @Post('UpdateSecret')
  @HttpCode(200)
  async update(
    @CurrentCaller() caller: Caller,
    @Query() query: WorkspaceQuery,
    @Body() { name, value, env }: SecretRequest,
  ): Promise<Envelope<''>> {
    await this.secrets.update(caller, locationOf(query, env), { name, value });
    return DONE;
  }

  @Post('DeleteSecret')
  @HttpCode(200)
  async delete(
    @CurrentCaller() caller: Caller,
    @Query() query: WorkspaceQuery,
    @Body() { name, env }: NamedSecretRequest,
  ): Promise<Envelope<''>> {
    await this.secrets.delete(caller, locationOf(query, env), name);
    return DONE;
  }

  @Post('ListSecret')
  @HttpCode(200)
  async list(
    @CurrentCaller() caller: Caller,
    @Query() query: WorkspaceQuery,
    @Body() { env }: ListSecretRequest,
    @CacheStatus() report: ReadReport,
  ): Promise<ListAnswer> {
    const unreadable: string[] = [];
    const secrets = await this.secrets.list(caller, locationOf(query, env), {
      servedStale: (ageMs) => report.servedStale(ageMs),
      unreadable: (names) => unreadable.splice(0, unreadable.length, ...names),
    });
    const answer = ok(secrets.map((secret) => ({ ...secret, env })));
    return unreadable.length === 0 ? answer : { ...answer, unreadable };
  }
}

function locationOf({ workspace }: WorkspaceQuery, environment: Environment): SecretLocation {
  return { workspace, environment };
}

import { PATH_METADATA, METHOD_METADATA, ROUTE_ARGS_METADATA } from '@nestjs/common/constants';
import { RequestMethod } from '@nestjs/common';
import { RouteParamtypes } from '@nestjs/common/enums/route-paramtypes.enum';
import type { Reason } from '../../errors/domain-error';
import { AccessController, UserEventsController } from '../controllers/olares.controller';
import { AppSecretsController } from '../controllers/app-secrets.controller';
import { ExplainController, GrantApprovalsController } from '../controllers/grants.controller';
import { HealthController } from '../controllers/health.controller';
import { SecretsController } from '../controllers/secrets.controller';
import { ROUTE_ACCESS, type RouteAccess } from '../request/provider-request';
import type { DataSchema, PARSED_BODIES } from './openapi-schemas';
import type { RequestClass } from '../controllers/request-validation';

/** What the code of a route does not say of it. */
interface RouteDescription {
  readonly summary: string;
  readonly answers: DataSchema | 'access token';
  /** The body of a route that parses it itself. */
  readonly accepts?: keyof typeof PARSED_BODIES;
  /** Beside those that every route of its kind may fail for. */
  readonly reasons: readonly Reason[];
  /** The body of a call and the `data` of its answer. */
  readonly example?: { readonly body?: object; readonly data: unknown };
}

/** One route, from the decorators of its handler. */
export interface DescribedRoute extends RouteDescription {
  readonly id: string;
  readonly tag: string;
  readonly method: 'get' | 'post' | 'put' | 'delete';
  /** With `{app}` where the router has `:app`. */
  readonly path: string;
  readonly access: RouteAccess;
  readonly body: RequestClass | undefined;
  readonly query: RequestClass | undefined;
}

const READ: readonly Reason[] = ['STORE_UNAVAILABLE', 'LIST_TOO_LARGE'];
const WRITE: readonly Reason[] = ['STORE_UNAVAILABLE', 'STORE_OUTCOME_UNKNOWN', 'STORE_REFUSED', 'APPROVAL_REQUIRED', 'LIST_TOO_LARGE']; // prettier-ignore
const GROWING: readonly Reason[] = [...WRITE, 'QUOTA_EXCEEDED', 'STORE_FULL'];
const SECRET = { name: 'wallet-password', value: 'correct horse', env: 'dev' };
const { value: _value, ...NAMED } = SECRET;
const ASKED = { operation: 'ListSecret', workspace: 'notes-desk' };

/** By controller and method. */
const DESCRIPTIONS: Readonly<Record<string, RouteDescription>> = {
  'SecretsController.retrieve': { summary: 'Returns one secret', answers: 'Secret', reasons: [...READ, 'NOT_GRANTED', 'SECRET_NOT_FOUND'], example: { body: NAMED, data: SECRET } },
  'SecretsController.create': { summary: 'Stores a new secret', answers: 'Nothing', reasons: [...GROWING, 'NOT_GRANTED', 'SECRET_ALREADY_EXISTS'], example: { body: SECRET, data: '' } },
  'SecretsController.update': { summary: 'Replaces the value of a secret', answers: 'Nothing', reasons: [...GROWING, 'NOT_GRANTED', 'SECRET_NOT_FOUND', 'PRECONDITION_FAILED'], example: { body: SECRET, data: '' } },
  'SecretsController.delete': { summary: 'Removes a secret', answers: 'Nothing', reasons: [...WRITE, 'NOT_GRANTED', 'SECRET_NOT_FOUND', 'PRECONDITION_FAILED', 'STORE_FULL'], example: { body: NAMED, data: '' } },
  'SecretsController.list': { summary: 'Returns all secrets of a workspace in one environment', answers: 'Secrets', reasons: [...READ, 'NOT_GRANTED'], example: { body: { env: 'dev' }, data: [SECRET] } },
  'ExplainController.explain': { summary: 'Says what decides an operation of the app, and which YAML would grant it', answers: 'Explanation', reasons: [], example: { body: ASKED, data: { app: 'notes', user: 'alice', ...ASKED, allowed: true, decidedBy: 'grant', message: 'App notes states ListSecret?workspace=notes-desk.', statedAt: [{ source: 'notes-of-alice/OlaresManifest.yaml', line: 11 }] } } },
  'AccessController.request': { summary: 'Issues an access token to an app that proves itself', answers: 'access token', accepts: 'AccessRequest', reasons: ['GRANTS_UNAVAILABLE'], example: { body: { app_key: 'bytetrade_notes_123456', timestamp: 1790000000, token: '<bcrypt over app key, timestamp and app secret, cost 10>', perm: { dataType: 'secret', group: 'secret.infisical', version: 'v1', ops: ['ListSecret?workspace=notes-desk'] } }, data: { access_token: '<a JWT>', expired_at: '2026-11-27T12:00:00.000Z' } } },
  'AppSecretsController.permission': { summary: 'Says whether an app holds a grant', answers: 'Permission', reasons: ['GRANTS_UNAVAILABLE'], example: { data: { permission: true } } },
  'AppSecretsController.explain': { summary: 'Says what an app holds, or what decides one of its operations', answers: 'AppGrants', reasons: ['GRANTS_UNAVAILABLE'], example: { data: [{ workspace: 'notes-desk', operations: ['ListSecret'], sharedWith: [], usable: true }] } },
  'AppSecretsController.names': { summary: 'Returns the names of the secrets of an app, never a value', answers: 'SecretNames', reasons: [...READ, 'GRANTS_UNAVAILABLE'], example: { data: [{ Workspace: 'notes-desk', Key: 'wallet-password' }] } },
  'AppSecretsController.create': { summary: 'Stores a new secret of an app', answers: 'Nothing', reasons: [...GROWING, 'GRANTS_UNAVAILABLE', 'NOT_GRANTED', 'SECRET_ALREADY_EXISTS'], example: { body: { Key: 'wallet-password', Value: 'correct horse' }, data: '' } },
  'AppSecretsController.update': { summary: 'Replaces the value of a secret of an app', answers: 'Nothing', reasons: [...GROWING, 'GRANTS_UNAVAILABLE', 'NOT_GRANTED', 'SECRET_NOT_FOUND'], example: { body: { Key: 'wallet-password', Value: 'correct horse' }, data: '' } },
  'AppSecretsController.delete': { summary: 'Removes a secret of an app', answers: 'Nothing', reasons: [...WRITE, 'GRANTS_UNAVAILABLE', 'NOT_GRANTED', 'SECRET_NOT_FOUND', 'STORE_FULL'], example: { body: { Key: 'wallet-password' }, data: '' } },
  'GrantApprovalsController.approve': { summary: 'Approves what an app states outside of its own workspaces', answers: 'Nothing', reasons: ['GRANTS_UNAVAILABLE', 'NOT_GRANTED', 'STORE_OUTCOME_UNKNOWN'], example: { body: { workspace: 'mail', operations: 'RetrieveSecret,ListSecret' }, data: '' } },
  'GrantApprovalsController.revoke': { summary: 'Takes an approval back', answers: 'Nothing', reasons: ['GRANTS_UNAVAILABLE', 'NOT_GRANTED', 'STORE_OUTCOME_UNKNOWN'], example: { body: { workspace: 'mail' }, data: '' } },
  'UserEventsController.created': { summary: 'Receives that a user was created', answers: 'Nothing', accepts: 'UserEvent', reasons: ['USER_REMOVAL_PENDING', 'STORE_UNAVAILABLE', 'STORE_OUTCOME_UNKNOWN', 'STORE_FULL'], example: { body: { name: 'alice' }, data: '' } },
  'UserEventsController.deleted': { summary: 'Receives that a user was deleted', answers: 'Nothing', accepts: 'UserEvent', reasons: ['STORE_UNAVAILABLE', 'STORE_OUTCOME_UNKNOWN', 'STORE_FULL'], example: { body: { name: 'alice' }, data: '' } },
  'HealthController.live': { summary: 'Answers while the process runs', answers: 'Nothing', reasons: [], example: { data: '' } },
  'HealthController.ready': { summary: 'Says whether requests can be served', answers: 'Readiness', reasons: ['NOT_READY'], example: { data: { store: 'ok', grants: 'ok', installedApps: 3, problems: [] } } },
}; // prettier-ignore

const CONTROLLERS = [
  SecretsController,
  ExplainController,
  AccessController,
  AppSecretsController,
  GrantApprovalsController,
  UserEventsController,
  HealthController,
];

/** The routes of the service, whether or not the settings switch them on. */
export function describedRoutes(): readonly DescribedRoute[] {
  return CONTROLLERS.flatMap((controller) => {
    const handlers = Object.getOwnPropertyNames(controller.prototype).filter(
      (name) => name !== 'constructor',
    );
    return handlers.flatMap((name) => routeOf(controller, name) ?? []);
  });
}

/** Returns undefined for a method that handles no route. @throws Error for a route that nobody has described */
function routeOf(controller: (typeof CONTROLLERS)[number], name: string): DescribedRoute | undefined {
  const handler: unknown = Object.getOwnPropertyDescriptor(controller.prototype, name)?.value;
  if (typeof handler !== 'function') return undefined;
  const method = Reflect.getMetadata(METHOD_METADATA, handler) as RequestMethod | undefined;
  if (method === undefined) return undefined;
  const id = `${controller.name}.${name}`;
  const description = DESCRIPTIONS[id];
  if (description === undefined) throw new Error(`openapi-routes.ts does not describe ${id}`);
  const parts = [controller, handler].map((of) => String(Reflect.getMetadata(PATH_METADATA, of) ?? ''));
  const path = parts.filter((part) => part !== '/' && part !== '').join('/');
  const access = (Reflect.getMetadata(ROUTE_ACCESS, handler) ?? Reflect.getMetadata(ROUTE_ACCESS, controller) ?? 'app') as RouteAccess; // prettier-ignore
  return {
    ...description,
    id,
    tag: controller.name.replace(/Controller$/, ''),
    method: RequestMethod[method].toLowerCase() as DescribedRoute['method'],
    path: `/${path.replace(/:(\w+)/g, '{$1}')}`,
    access,
    body: argumentOf(controller, name, RouteParamtypes.BODY),
    query: argumentOf(controller, name, RouteParamtypes.QUERY),
  };
}

/** Returns the class of the argument that Nest makes of the body or the query; undefined where the handler parses it itself. */
function argumentOf(
  controller: (typeof CONTROLLERS)[number],
  name: string,
  kind: RouteParamtypes,
): RequestClass | undefined {
  const args = (Reflect.getMetadata(ROUTE_ARGS_METADATA, controller, name) ?? {}) as Readonly<Record<string, { readonly index: number }>>; // prettier-ignore
  const [, found] = Object.entries(args).find(([key]) => key.startsWith(`${kind}:`)) ?? [];
  if (found === undefined) return undefined;
  const types = Reflect.getMetadata('design:paramtypes', controller.prototype, name) as readonly unknown[];
  const type = types[found.index];
  return typeof type === 'function' && type !== Object ? (type as RequestClass) : undefined;
}

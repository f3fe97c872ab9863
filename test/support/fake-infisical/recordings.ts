import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { API_VERSIONS } from '../../../src/stores/infisical/versions/api-version';
import type { CallName } from '../../../src/stores/infisical/versions/calls';
import type { RecordedApiVersionName } from './fake-api-version';

/** One request to a real server, and its answer. */
export interface Recorded {
  readonly at: number;
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly bearer: boolean;
  readonly sent?: unknown;
  readonly status: number;
  readonly answer: unknown;
  readonly limit?: number;
  /** The connection ended without an answer. */
  readonly lost?: string;
}

export function recordings(apiVersion: RecordedApiVersionName): readonly Recorded[] {
  const file = join(__dirname, `../../fixtures/infisical/${apiVersion}.recording.json`);
  return JSON.parse(readFileSync(file, 'utf8')) as Recorded[];
}

/** The refusals of a server of June 2025 on the v3 routes, some with other statuses. */
export function failuresOf2025(): readonly Recorded[] {
  const file = join(__dirname, '../../fixtures/infisical/v3-2025.failures.json');
  return JSON.parse(readFileSync(file, 'utf8')) as Recorded[];
}

export function recorded(apiVersion: RecordedApiVersionName, name: string): Recorded {
  const found = recordings(apiVersion).find((entry) => entry.name === name);
  if (found === undefined) throw new Error(`There is no recording named ${name}.`);
  return found;
}

/** Returns the adapter's call that a recorded request is, by its route. */
export function callNameOf(
  { method, path }: Recorded,
  apiVersion: RecordedApiVersionName,
): CallName | undefined {
  const pathname = path.split('?')[0] ?? '';
  const names = Object.keys(API_VERSIONS[apiVersion].routes) as CallName[];
  return names.find((name) => {
    const route = API_VERSIONS[apiVersion].routes[name];
    // The recorded requests name a real organization; the adapter's name none.
    const pattern = route.path.replace(/\{\w+\}|0{8}(-0{4}){3}-0{12}/g, '[^/]+');
    return route.method === method && new RegExp(`^${pattern}$`).test(pathname);
  });
}

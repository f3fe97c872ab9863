import { createRequire } from 'node:module';
import * as clientModels from '@kubernetes/client-node';
import type { KubeManifest } from './chart';

interface Attribute {
  readonly baseName: string;
  readonly type: string;
}

/** The field lists that Kubernetes' own client is generated with, from the OpenAPI document of the API server. */
const models = clientModels as unknown as Readonly<
  Record<string, { readonly attributeTypeMap?: readonly Attribute[] } | undefined>
>;

/** Node's own: some thousand small modules, which a test runner need not transform. */
const requireModule = createRequire(__filename);

interface ModelModule {
  readonly [kind: string]: new (data: object) => { validate(): void };
}

/**
 * Everything that an API server would find wrong in the form of an object: missing or mistyped fields by the OpenAPI
 * schemas of `kubernetes-models`, and fields that there are not by those of the client (the former let them pass).
 */
export function problemsOf(manifest: KubeManifest): readonly string[] {
  return [...invalidFields(manifest), ...unknownFields(manifest)];
}

function invalidFields(manifest: KubeManifest): readonly string[] {
  const { apiVersion, kind } = manifest as { apiVersion: string; kind: string };
  const home = apiVersion.startsWith('monitoring.coreos.com/')
    ? '@kubernetes-models/prometheus-operator'
    : 'kubernetes-models';
  const Model = (requireModule(`${home}/${apiVersion}/${kind}`) as ModelModule)[kind]!;
  try {
    new Model(manifest).validate();
    return [];
  } catch (error: unknown) {
    return (error as Error).message.split(', ');
  }
}

function unknownFields(manifest: KubeManifest): readonly string[] {
  const [group, version = group] = (manifest['apiVersion'] as string).split('/');
  if (group === 'monitoring.coreos.com') return [];
  const model = `${version!.charAt(0).toUpperCase()}${version!.slice(1)}${manifest['kind'] as string}`;
  if (models[model]?.attributeTypeMap === undefined) return [`there is no ${model}`];
  return unknownIn(manifest, model, '');
}

function unknownIn(value: unknown, type: string, at: string): readonly string[] {
  if (value === null || value === undefined) return [`${at} is empty`];
  const [, item] = /^Array<(.+)>$/.exec(type) ?? [];
  if (item !== undefined) {
    if (!Array.isArray(value)) return [`${at} is no list`];
    return value.flatMap((entry, index) => unknownIn(entry, item, `${at}/${index}`));
  }
  const [, valueType] = /^\{ \[key: string\]: (.+); \}$/.exec(type) ?? [];
  if (valueType !== undefined) {
    return Object.entries(value).flatMap(([key, entry]) => unknownIn(entry, valueType, `${at}/${key}`));
  }
  const attributes = models[type]?.attributeTypeMap;
  if (attributes === undefined) return mistyped(value, type, at);
  return Object.entries(value).flatMap(([key, entry]) => {
    const attribute = attributes.find(({ baseName }) => baseName === key);
    return attribute === undefined
      ? [`${at}/${key} is not known`]
      : unknownIn(entry, attribute.type, `${at}/${key}`);
  });
}

function mistyped(value: unknown, type: string, at: string): readonly string[] {
  const isRight = ['string', 'number', 'boolean'].includes(type) ? typeof value === type : true;
  return isRight ? [] : [`${at} is no ${type}`];
}

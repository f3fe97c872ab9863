import { createRequire } from 'node:module';
import * as ts from 'typescript';
import type { KubeManifest } from './chart';

/** Node's own: some thousand small modules, which a test runner need not transform. */
const requireModule = createRequire(__filename);

interface ModelModule {
  readonly [kind: string]: new (data: object) => { validate(): void };
}

/**
 * Everything that an API server would find wrong in the form of an object: missing or mistyped fields by the validators of
 * `kubernetes-models`, and fields that there are not by its type declarations, since the former let them pass.
 */
export function problemsOf(manifest: KubeManifest): readonly string[] {
  return [...invalidFields(manifest), ...unknownFields(manifest)];
}

/** The module of a kind, for `require` and for its declarations alike. */
function moduleOf(manifest: KubeManifest): string {
  const { apiVersion, kind } = manifest as { apiVersion: string; kind: string };
  const home = apiVersion.startsWith('monitoring.coreos.com/')
    ? '@kubernetes-models/prometheus-operator'
    : 'kubernetes-models';
  return `${home}/${apiVersion}/${kind}`;
}

function invalidFields(manifest: KubeManifest): readonly string[] {
  const kind = manifest['kind'] as string;
  const Model = (requireModule(moduleOf(manifest)) as ModelModule)[kind]!;
  try {
    new Model(manifest).validate();
    return [];
  } catch (error: unknown) {
    return (error as Error).message.split(', ');
  }
}

const COMPILER_OPTIONS: ts.CompilerOptions = {
  lib: ['lib.es5.d.ts'],
  types: [],
  skipLibCheck: true,
  module: ts.ModuleKind.CommonJS,
  moduleResolution: ts.ModuleResolutionKind.Node10,
};
const declarations = new Map<string, ts.SourceFile | undefined>();
const host = ts.createCompilerHost(COMPILER_OPTIONS);
const readDeclaration = host.getSourceFile.bind(host);
host.getSourceFile = (file, options) => {
  if (!declarations.has(file)) declarations.set(file, readDeclaration(file, options));
  return declarations.get(file);
};

function unknownFields(manifest: KubeManifest): readonly string[] {
  const kind = manifest['kind'] as string;
  const file = requireModule.resolve(moduleOf(manifest)).replace(/\.js$/, '.d.ts');
  const program = ts.createProgram([file], COMPILER_OPTIONS, host);
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(file);
  const declared = source?.statements.find(
    (statement) => ts.isInterfaceDeclaration(statement) && statement.name.text === `I${kind}`,
  );
  if (declared === undefined) return [`there is no ${kind}`];
  return unknownIn(manifest, checker.getTypeAtLocation(declared), '', checker);
}

function unknownIn(value: unknown, type: ts.Type, at: string, checker: ts.TypeChecker): readonly string[] {
  if (value === null || value === undefined) return [`${at} is empty`];
  const declared = checker.getNonNullableType(type);
  if (Array.isArray(value)) {
    const item = checker.getIndexTypeOfType(declared, ts.IndexKind.Number);
    if (item === undefined) return [`${at} must be no list`];
    return value.flatMap((entry, index) => unknownIn(entry, item, `${at}/${index}`, checker));
  }
  if (typeof value !== 'object' || (declared.flags & ts.TypeFlags.Any) !== 0) return [];
  const others = checker.getIndexTypeOfType(declared, ts.IndexKind.String);
  return Object.entries(value).flatMap(([key, entry]) => {
    const property = checker.getPropertyOfType(declared, key);
    const field = property === undefined ? others : checker.getTypeOfSymbol(property);
    return field === undefined
      ? [`${at}/${key} is not known`]
      : unknownIn(entry, field, `${at}/${key}`, checker);
  });
}

import { createRequire } from 'node:module';
import { Transform } from 'class-transformer';
import type * as classValidator from 'class-validator';
import { WORKSPACE_NAME, WORKSPACE_RULE } from '../../authz/grant';
import {
  ENVIRONMENTS,
  isSecretName,
  isSecretValue,
  NAME_RULE,
  VALUE_RULE,
  type Environment,
} from '../../secrets/secret';

export type { ValidationError } from 'class-validator';

/**
 * The parts of class-validator that we use, each from its own file: its index also loads all other validators, with
 * `validator` and `libphonenumber-js` 300 files that nothing here calls. They were a tenth of the start and 5 MB of memory.
 */
const load = createRequire(__filename);

function decorator<N extends keyof typeof classValidator>(file: string, name: N): (typeof classValidator)[N] {
  return (load(`class-validator/cjs/decorator/${file}`) as typeof classValidator)[name];
}

const ValidateBy = decorator('common/ValidateBy', 'ValidateBy');
export const IsOptional = decorator('common/IsOptional', 'IsOptional');
export const IsIn = decorator('common/IsIn', 'IsIn');
export const IsString = decorator('typechecker/IsString', 'IsString');
export const Matches = decorator('string/Matches', 'Matches');

const { Validator } = load('class-validator/cjs/validation/Validator') as typeof classValidator;
/** What Nest's ValidationPipe asks for as its `validatorPackage`. */
export const validator = new Validator();

/** A class whose fields have these decorators. */
export type RequestClass = new () => object;

/** One rule of one field, as its decorator states it. */
export interface FieldRule {
  readonly propertyName: string;
  readonly type: string;
  readonly name?: string;
  readonly constraints?: readonly unknown[];
  readonly message?: unknown;
}

/** Returns the rules of a request class and of those that it extends. */
export function fieldRulesOf(request: RequestClass): readonly FieldRule[] {
  const { getMetadataStorage } = load(
    'class-validator/cjs/metadata/MetadataStorage',
  ) as typeof classValidator;
  return getMetadataStorage().getTargetValidationMetadatas(request, '', false, false);
}

const ENVIRONMENT_RULE = `must be one of ${ENVIRONMENTS.join(', ')}, or empty or null for prod`;

export const IsSecretName = (): PropertyDecorator =>
  ValidateBy({ name: 'isSecretName', validator: { validate: isSecretName } }, { message: NAME_RULE });
export const IsSecretValue = (): PropertyDecorator =>
  ValidateBy({ name: 'isSecretValue', validator: { validate: isSecretValue } }, { message: VALUE_RULE });

/** The query of all five operations: exactly one workspace. */
export class WorkspaceQuery {
  @Matches(WORKSPACE_NAME, { message: WORKSPACE_RULE })
  @IsString({ message: 'must be given exactly once' })
  workspace!: string;
}

export class ListSecretRequest {
  /** Null counts as unset: clients that write all fields of an object send it. */
  @Transform(({ value }: { value: unknown }) => (value === '' || value === null ? 'prod' : value))
  @IsIn(ENVIRONMENTS, { message: ENVIRONMENT_RULE })
  env: Environment = 'prod';
}

/** The body of RetrieveSecret and DeleteSecret. */
export class NamedSecretRequest extends ListSecretRequest {
  @IsSecretName()
  name!: string;
}

/** The body of CreateSecret and UpdateSecret. */
export class SecretRequest extends NamedSecretRequest {
  @IsSecretValue()
  value!: string;
}

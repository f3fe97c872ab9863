import { createRequire } from 'node:module';
import { type ArgumentMetadata, type PipeTransform, ValidationPipe } from '@nestjs/common';
import { Transform } from 'class-transformer';
import type * as classValidator from 'class-validator';
import { LRUCache } from 'lru-cache';
import { WORKSPACE_NAME, WORKSPACE_RULE } from '../../authz/grant';
import { InvalidRequest } from '../../errors/request-errors';
import {
  ENVIRONMENTS,
  isSecretName,
  isSecretValue,
  NAME_RULE,
  VALUE_RULE,
  type Environment,
} from '../../secrets/secret';

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

const MAX_FIELD_LENGTH_SHOWN = 64;
/** Far more than any request class has. The time of the validators grows with the square of the number of fields. */
const MAX_FIELDS = 16;

/** The requests that apps repeat all day long. None of them has a secret's value. */
const REPEATED: readonly unknown[] = [WorkspaceQuery, ListSecretRequest, NamedSecretRequest];
const MAX_REMEMBERED = 2_000;
const MAX_REMEMBERED_LENGTH = 512;

/**
 * Validates bodies and queries against their classes; its errors name the field and the rule, never the value. A
 * repeated request is validated once: class-validator and class-transformer reflect on their metadata each time.
 */
export class RequestValidationPipe implements PipeTransform<unknown, unknown> {
  readonly #validation = new ValidationPipe({
    transform: true,
    whitelist: true,
    forbidNonWhitelisted: true,
    forbidUnknownValues: true,
    stopAtFirstError: true,
    validationError: { target: false, value: false },
    exceptionFactory: toInvalidRequest,
    validatorPackage: validator,
  });
  readonly #valid = new Map(
    // Without `max`, which would have them take the memory of all that they may hold at the start.
    REPEATED.map((metatype) => [
      metatype,
      new LRUCache<string, object>({ maxSize: MAX_REMEMBERED, sizeCalculation: () => 1 }),
    ]),
  );

  transform(value: unknown, metadata: ArgumentMetadata): unknown {
    // Set by the guard, not by the caller: there is nothing to validate.
    if (metadata.type === 'custom') return value;
    const valid = this.#valid.get(metadata.metatype);
    if (valid === undefined) return this.#validated(value, metadata);
    const text = JSON.stringify(value);
    return valid.get(text) ?? this.#remembered(valid, text, this.#validated(value, metadata));
  }

  async #validated(value: unknown, metadata: ArgumentMetadata): Promise<unknown> {
    const { metatype, type } = metadata;
    const isValidated = metatype !== undefined && metatype !== Object;
    if (isValidated && (type === 'body' || type === 'query')) requireFlat(value, type);
    return this.#validation.transform(value, metadata) as Promise<unknown>;
  }

  /** Remembers a validated request. All equal requests share the object, so it is frozen. */
  async #remembered(
    valid: LRUCache<string, object>,
    text: string,
    validated: Promise<unknown>,
  ): Promise<unknown> {
    const request = Object.freeze((await validated) as object);
    if (text.length <= MAX_REMEMBERED_LENGTH) valid.set(text, request);
    return request;
  }
}

/**
 * Refuses what the validators are not safe for: many fields, the names of `Object.prototype`, and nested values, which
 * no field of ours has. A query parameter that was sent twice arrives as an array and is refused by its own rule.
 * @throws InvalidRequest
 */
function requireFlat(value: unknown, type: 'body' | 'query'): void {
  const fields = Object.entries(value ?? {});
  if (fields.length > MAX_FIELDS) throw new InvalidRequest(type, `must have at most ${MAX_FIELDS} fields`);
  for (const [name, field] of fields) {
    if (name in Object.prototype) throw new InvalidRequest(shown(name), 'is not a field of this request');
    if (type === 'body' && typeof field === 'object' && field !== null) {
      throw new InvalidRequest(shown(name), 'must be text, not an object or an array');
    }
  }
}

function shown(name: string): string {
  return name.slice(0, MAX_FIELD_LENGTH_SHOWN);
}

function toInvalidRequest(errors: readonly classValidator.ValidationError[]): InvalidRequest {
  const [first] = errors;
  if (first?.constraints === undefined) return new InvalidRequest('body', 'is not of the documented form');
  const field = shown(first.property);
  if ('whitelistValidation' in first.constraints)
    return new InvalidRequest(field, 'is not a field of this request');
  return new InvalidRequest(field, Object.values(first.constraints)[0] ?? 'is not valid');
}

import { ValidationPipe, type ArgumentMetadata } from '@nestjs/common';
import type { ValidationError } from 'class-validator';
import { InvalidRequest } from '../errors/request-errors';

const MAX_FIELD_LENGTH_SHOWN = 64;
/** Far more than any request class has: the validators behind take time that grows with the square of it. */
const MAX_FIELDS = 16;

/** Validates bodies and queries against their classes; names the field and the rule, never the value. */
export class RequestValidationPipe extends ValidationPipe {
  constructor() {
    super({
      transform: true,
      whitelist: true,
      forbidNonWhitelisted: true,
      forbidUnknownValues: true,
      stopAtFirstError: true,
      validationError: { target: false, value: false },
      exceptionFactory: toInvalidRequest,
    });
  }

  override async transform(value: unknown, metadata: ArgumentMetadata): Promise<unknown> {
    const isValidated = metadata.metatype !== undefined && metadata.metatype !== Object;
    if (isValidated && (metadata.type === 'body' || metadata.type === 'query'))
      requireFlat(value, metadata.type);
    return super.transform(value, metadata) as Promise<unknown>;
  }
}

/**
 * Refuses what the validators cannot bear: many fields, fields that reach for the prototype, and deep nesting, which no
 * field of ours has. Query parameters that were sent twice arrive as arrays and are left to their own rule.
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

function toInvalidRequest(errors: readonly ValidationError[]): InvalidRequest {
  const [first] = errors;
  if (first?.constraints === undefined) return new InvalidRequest('body', 'is not of the documented form');
  const field = shown(first.property);
  if ('whitelistValidation' in first.constraints)
    return new InvalidRequest(field, 'is not a field of this request');
  return new InvalidRequest(field, Object.values(first.constraints)[0] ?? 'is not valid');
}

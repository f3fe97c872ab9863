import { ValidationPipe } from '@nestjs/common';
import type { ValidationError } from 'class-validator';
import { InvalidRequest } from '../errors/request-errors';

const MAX_FIELD_LENGTH_SHOWN = 64;

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
}

function toInvalidRequest(errors: readonly ValidationError[]): InvalidRequest {
  const [first] = errors;
  if (first?.constraints === undefined) return new InvalidRequest('body', 'is not of the documented form');
  const field = first.property.slice(0, MAX_FIELD_LENGTH_SHOWN);
  if ('whitelistValidation' in first.constraints)
    return new InvalidRequest(field, 'is not a field of this request');
  return new InvalidRequest(field, Object.values(first.constraints)[0] ?? 'is not valid');
}

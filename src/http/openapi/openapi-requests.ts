import { MAX_NAME_LENGTH } from '../../secrets/secret';
import { type FieldRule, fieldRulesOf, type RequestClass } from '../controllers/secret-requests';
import type { JsonSchema } from './openapi-answers';

/** Returns the schema of a request class by its own validators; the sentence of a rule is the description of its field. */
export function requestSchema(request: RequestClass): JsonSchema {
  const found = fieldRulesOf(request);
  const defaults = Object.entries(new request());
  const names = [...new Set(found.map(({ propertyName }) => propertyName))];
  const described = names.map((name) => {
    const rules = found.filter(({ propertyName }) => propertyName === name);
    const isOptional = rules.some(({ type }) => type === 'conditionalValidation');
    const byDefault: unknown = defaults.find(([field, value]) => field === name && value !== undefined)?.[1];
    const schema = Object.assign({}, ...rules.map(ruleSchema)) as JsonSchema;
    return {
      name,
      isRequired: !isOptional && byDefault === undefined,
      schema: withDefault(schema, byDefault),
    };
  });
  return {
    type: 'object',
    properties: Object.fromEntries(described.map(({ name, schema }) => [name, schema])),
    required: described.filter(({ isRequired }) => isRequired).map(({ name }) => name),
    additionalProperties: false,
  };
}

function ruleSchema({ name, constraints, message }: FieldRule): JsonSchema {
  const described = typeof message === 'string' ? { description: `It ${message}.` } : {};
  const [constraint] = constraints ?? [];
  switch (name) {
    case 'matches':
      return { type: 'string', pattern: constraint instanceof RegExp ? constraint.source : '', ...described };
    case 'isIn':
      return { type: 'string', enum: constraint, ...described };
    case 'isSecretName':
      return { type: 'string', minLength: 1, maxLength: MAX_NAME_LENGTH, ...described };
    case 'isSecretValue':
      return { type: 'string', ...described };
    case undefined:
    default:
      return { type: 'string' };
  }
}

/** Where a field has a default, empty text and null stand for it too. */
function withDefault(schema: JsonSchema, byDefault: unknown): JsonSchema {
  if (byDefault === undefined) return schema;
  const values = Array.isArray(schema['enum']) ? (schema['enum'] as readonly unknown[]) : [];
  return { ...schema, type: ['string', 'null'], enum: [...values, '', null], default: byDefault };
}

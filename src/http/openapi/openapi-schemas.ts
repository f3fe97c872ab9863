import { DECIDED_BY } from '../../authz/grants.service';
import { SECRET_OPERATIONS } from '../../authz/grant';
import { STATUS_OF, type Reason } from '../../errors/domain-error';
import { ENVIRONMENTS, MAX_NAME_LENGTH } from '../../secrets/secret';
import { type FieldRule, fieldRulesOf, type RequestClass } from '../controllers/request-validation';

/** A JSON Schema of draft 2020-12, as OpenAPI 3.1 has it. */
export type JsonSchema = Readonly<Record<string, unknown>>;

const TEXT = { type: 'string' } as const;
const NUMBER = { type: 'number' } as const;
const FLAG = { type: 'boolean' } as const;

/** All fields are required but those named, and no others are allowed: a test notices what an answer has and this does not. */
function fields(
  properties: Readonly<Record<string, JsonSchema>>,
  ...optional: readonly string[]
): JsonSchema {
  const required = Object.keys(properties).filter((name) => !optional.includes(name));
  return { type: 'object', properties, required, additionalProperties: false };
}

function listOf(items: JsonSchema): JsonSchema {
  return { type: 'array', items };
}

function oneOfTexts(values: readonly string[]): JsonSchema {
  return { type: 'string', enum: values };
}

export function schemaRef(name: string): JsonSchema {
  return { $ref: `#/components/schemas/${name}` };
}

const OPERATION = oneOfTexts(SECRET_OPERATIONS);
const OPERATIONS = listOf(OPERATION);
const PLACE = { source: TEXT, line: { type: 'integer', minimum: 1 } };

const EXPLANATION = {
  app: TEXT,
  user: TEXT,
  operation: OPERATION,
  workspace: TEXT,
  allowed: FLAG,
  decidedBy: oneOfTexts(DECIDED_BY),
  message: TEXT,
  statedAt: listOf(fields(PLACE, 'line')),
  hints: listOf(fields({ ...PLACE, reason: TEXT }, 'line')),
  yaml: { ...TEXT, description: 'The permission block that the manifest would need.' },
};

/** What the `data` of each success holds, by the name of its schema. */
export const DATA_SCHEMAS = {
  Nothing: { const: '', description: 'A success that has nothing to say.' },
  Secret: fields({ name: TEXT, value: TEXT, env: oneOfTexts(ENVIRONMENTS) }),
  Secrets: { ...listOf(schemaRef('Secret')), description: 'Sorted by name.' },
  Explanation: fields(EXPLANATION, 'hints', 'yaml'),
  AppExplanation: fields({ ...EXPLANATION, sharedWith: listOf(TEXT) }, 'hints', 'yaml'),
  HeldWorkspace: fields(
    { workspace: TEXT, operations: OPERATIONS, sharedWith: listOf(TEXT), usable: FLAG, pending: OPERATIONS },
    'pending',
  ),
  AppGrants: {
    anyOf: [listOf(schemaRef('HeldWorkspace')), schemaRef('AppExplanation')],
    description: 'All that the app holds; with operation and workspace, what decides that operation.',
  },
  Permission: fields({ permission: FLAG }),
  SecretNames: listOf(fields({ Workspace: TEXT, Key: TEXT })),
  Readiness: fields(
    {
      store: TEXT,
      grants: TEXT,
      installedApps: { type: 'integer', minimum: 0 },
      grantFeeds: listOf(TEXT),
      pendingGrants: { type: 'integer', minimum: 0 },
      olares: TEXT,
      problems: listOf(TEXT),
    },
    ...['grantFeeds', 'pendingGrants', 'olares'],
  ),
} as const satisfies Record<string, JsonSchema>;
export type DataSchema = keyof typeof DATA_SCHEMAS;

/** The fields of a failure beside reason and request id; absent where there are none. */
const DETAILS: Readonly<Partial<Record<Reason, Readonly<Record<string, JsonSchema>>>>> = {
  INVALID_REQUEST: { field: TEXT, rule: TEXT, app: TEXT },
  UNAUTHENTICATED: { credential: TEXT },
  NOT_GRANTED: { app: TEXT, operation: OPERATION, workspace: TEXT, grant: TEXT, op: TEXT },
  NOT_SETTINGS_APP: { setting: TEXT },
  CROSS_SITE_REQUEST: { header: TEXT },
  SECRET_NOT_FOUND: { name: TEXT },
  SECRET_ALREADY_EXISTS: { name: TEXT },
  PRECONDITION_FAILED: { name: TEXT },
  REQUEST_TOO_LARGE: { maxBytes: NUMBER },
  STORE_REFUSED: { storeMessage: TEXT },
  TOO_MANY_REQUESTS: { retryAfterSeconds: { type: 'integer', minimum: 1 } },
  QUOTA_EXCEEDED: { limit: TEXT, max: NUMBER, used: NUMBER },
  NOT_READY: (DATA_SCHEMAS.Readiness as { properties: Readonly<Record<string, JsonSchema>> }).properties,
};

/** Returns the envelope of a failure for one reason. */
export function failureSchema(reason: Reason): JsonSchema {
  const details = DETAILS[reason] ?? {};
  const data = { reason: { const: reason }, requestId: TEXT, ...details };
  return fields({
    code: { const: STATUS_OF[reason] },
    message: TEXT,
    data: fields(data, ...Object.keys(details)),
  });
}

/** Returns the envelope of a success. @param code 200; 0 with RESPONSE_STYLE=sidecar */
export function successSchema(data: DataSchema, code: 0 | 200): JsonSchema {
  const envelope = { code: { const: code }, message: { const: '' }, data: schemaRef(data) };
  return data === 'Secrets'
    ? fields({ ...envelope, unreadable: listOf(TEXT) }, 'unreadable')
    : fields(envelope);
}

/** Bodies that their routes parse themselves: other fields are ignored. */
export const PARSED_BODIES = {
  AccessRequest: {
    type: 'object',
    properties: {
      app_key: TEXT,
      timestamp: { type: 'integer', description: 'Seconds since the epoch.' },
      token: { ...TEXT, description: 'bcrypt, cost 10, over app key, timestamp and app secret.' },
      perm: {
        type: 'object',
        properties: {
          dataType: TEXT,
          group: TEXT,
          version: TEXT,
          ops: { ...listOf(TEXT), minItems: 1, maxItems: 64 },
        },
        required: ['dataType', 'group', 'version', 'ops'],
      },
    },
    required: ['app_key', 'timestamp', 'token', 'perm'],
  },
  UserEvent: { type: 'object', properties: { name: TEXT }, required: ['name'] },
} as const satisfies Record<string, JsonSchema>;

/** What `POST /permission/v1alpha1/access` answers with HTTP 200, in system-server's form. */
export const ACCESS_ANSWER: JsonSchema = {
  anyOf: [
    fields({
      code: { const: 0 },
      message: { const: 'success' },
      data: fields({ access_token: TEXT, expired_at: { type: 'string', format: 'date-time' } }),
    }),
    fields({ code: { enum: [1, 100001] }, message: TEXT }),
  ],
};

/** Returns how system-server wraps the answers of an operation: HTTP 200 always. */
export function wrappedSchema(answers: readonly JsonSchema[]): JsonSchema {
  return {
    anyOf: [
      ...answers.map((data) => fields({ code: { const: 0 }, message: { const: 'success' }, data })),
      fields({ code: { enum: [1, 100001] }, message: TEXT }),
    ],
  };
}

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

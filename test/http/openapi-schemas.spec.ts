import { getMetadataStorage } from 'class-validator';
import '../../src/http/http.module';
import type { FieldRule, RequestClass } from '../../src/http/controllers/request-validation';
import { requestSchema } from '../../src/http/openapi/openapi-schemas';

/** Every request class with the rules of its own fields, from the storage in which class-validator's decorators put them. */
function requestClasses(): readonly (readonly [RequestClass, readonly FieldRule[]])[] {
  const { validationMetadatas } = getMetadataStorage() as unknown as {
    readonly validationMetadatas: ReadonlyMap<RequestClass, readonly FieldRule[]>;
  };
  return [...validationMetadatas];
}

/** Says that a parameter of the query is given once, which its type says already. */
const WITHOUT_SENTENCE = 'isString';

describe('requestSchema', () => {
  it('shows the sentence of every rule of every field, so that no decorator lacks its case', () => {
    const classes = requestClasses();
    expect(classes.length).toBeGreaterThan(5);
    const missing = classes.flatMap(([request, rules]) => {
      const { properties } = requestSchema(request) as {
        readonly properties: Readonly<Record<string, { readonly description?: string }>>;
      };
      return rules.flatMap(({ propertyName, name, message }) => {
        const isShown = properties[propertyName]?.description === `It ${String(message)}.`;
        const isDue = typeof message === 'string' && name !== WITHOUT_SENTENCE;
        return !isDue || isShown ? [] : [{ class: request.name, propertyName, name }];
      });
    });
    expect(missing).toEqual([]);
  });
});

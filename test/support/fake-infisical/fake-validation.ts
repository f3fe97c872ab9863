import type { Issue } from './fake-api-version';

/** The part of zod's issues that requests of this adapter can meet. */
export function stringIssues(body: unknown, required: readonly string[]): Issue[] {
  if (typeof body !== 'object' || body === null) {
    return [invalidType('object', receivedOf(body), [])];
  }
  const fields = body as Record<string, unknown>;
  return required
    .filter((name) => typeof fields[name] !== 'string')
    .map((name) => invalidType('string', receivedOf(fields[name]), [name]));
}

const NAME_PARTS = { 'forward slash': '/', colon: ':', spaces: ' ' } as const;

export function nameIssues(name: string, refused: readonly (keyof typeof NAME_PARTS)[]): Issue[] {
  return refused
    .filter((part) => name.includes(NAME_PARTS[part]))
    .map((part) => ({
      code: 'custom',
      message: `Secret name cannot contain ${part}.`,
      path: ['secretName'],
    }));
}

export function slugIssues(slug: string): Issue[] {
  const size = { type: 'string', inclusive: true, exact: false, path: ['slug'] };
  if (slug.length < 5) {
    return [
      { code: 'too_small', minimum: 5, ...size, message: 'String must contain at least 5 character(s)' },
    ];
  }
  if (slug.length > 36) {
    return [
      { code: 'too_big', maximum: 36, ...size, message: 'String must contain at most 36 character(s)' },
    ];
  }
  return plainSlug(slug) ? [] : [notASlug()];
}

export function longNameIssues(projectName: string, longest = Infinity): Issue[] {
  if (projectName.length <= longest) return [];
  const size = { type: 'string', inclusive: true, exact: false, path: ['projectName'] };
  return [
    { code: 'too_big', maximum: longest, ...size, message: `Name must be ${longest} or fewer characters` },
  ];
}

export function notASlug(): Issue {
  return { code: 'custom', message: 'Slug must be a valid slug', path: ['slug'] };
}

export function plainSlug(slug: string): boolean {
  return /^[a-z0-9]+(-[a-z0-9]+)*$/.test(slug);
}

/** Query flags must be `true` or `false`. */
export function flagIssues(query: URLSearchParams, names: readonly string[]): Issue[] {
  return names.flatMap((name) => {
    const value = query.get(name);
    if (value === null || value === 'true' || value === 'false') return [];
    return [
      {
        received: value,
        code: 'invalid_enum_value',
        options: ['true', 'false'],
        path: [name],
        message: `Invalid enum value. Expected 'true' | 'false', received '${value}'`,
      },
    ];
  });
}

/** Trims white space at both ends, except one final line feed. */
export function trimmedValue(value: string): string {
  return value.endsWith('\n') ? `${value.trim()}\n` : value.trim();
}

function invalidType(expected: string, received: string, path: readonly string[]): Issue {
  const message = received === 'undefined' ? 'Required' : `Expected ${expected}, received ${received}`;
  return { code: 'invalid_type', expected, received, path, message };
}

function receivedOf(value: unknown): string {
  return value === null ? 'null' : typeof value;
}

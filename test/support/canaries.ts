import { createHash } from 'node:crypto';

/** How many characters of a secret in a row are a leak, in whichever form they are written. */
export const FRAGMENT_LENGTH = 12;

/** Returns text that no other text has, the same in each run, in the alphabet of tokens. */
export function canary(what: string): string {
  return createHash('sha512').update(what).digest('base64url').slice(0, 48);
}

/** Secrets that a test plants, and the search for them, or for any fragment of them, in whatever is put out. */
export class Canaries {
  /** What is planted, by the length of its fragments and by fragment in lower case. */
  readonly #planted = new Map<number, Map<string, string>>();

  /** Adds a secret of at least twelve characters, none of which may be found by chance. Returns it. */
  plant(what: string, secret: string): string {
    if (secret.length < FRAGMENT_LENGTH) throw new Error(`${what} is too short to be told from other text`);
    for (const { form, texts, length } of formsOf(secret)) {
      const fragments = this.#planted.get(length) ?? new Map<string, string>();
      this.#planted.set(length, fragments);
      for (const text of texts)
        for (const fragment of fragmentsOf(text, length))
          fragments.set(fragment, form === undefined ? what : `${what}, ${form}`);
    }
    return secret;
  }

  /** Plants a new secret of its own. */
  make(what: string): string {
    return this.plant(what, canary(what));
  }

  /** Adds a JWT without its first part, which says nothing but the algorithm. */
  plantToken(what: string, token: string): string {
    const [, claims = '', signature = ''] = token.split('.');
    this.plant(`${what} (claims)`, claims);
    this.plant(`${what} (signature)`, signature);
    return token;
  }

  /** Returns what of it the text holds, each once. Text within JSON within JSON is searched too. */
  leaksIn(text: string): readonly string[] {
    const found = new Set<string>();
    for (const [length, planted] of this.#planted)
      for (const form of new Set([text, text.replaceAll('\\\\', '\\')]))
        for (const fragment of fragmentsOf(form, length)) {
          const what = planted.get(fragment);
          if (what !== undefined) found.add(what);
        }
    return [...found];
  }
}

function* fragmentsOf(text: string, length: number): Iterable<string> {
  const lowerCase = text.toLowerCase();
  for (let at = 0; at + length <= text.length; at += 1) yield lowerCase.slice(at, at + length);
}

interface WrittenForm {
  /** Undefined for the secret itself. */
  readonly form?: string;
  readonly texts: readonly string[];
  /** The length of a fragment. */
  readonly length: number;
}

/** Returns the forms in which a secret may be written down. */
function formsOf(secret: string): readonly WrittenForm[] {
  const bytes = Buffer.from(secret);
  const hex = bytes.toString('hex');
  return [
    // Twelve characters of base64 are nine of the secret.
    {
      form: 'base64',
      texts: [0, 1, 2].flatMap((shift) => base64After(shift, bytes)),
      length: FRAGMENT_LENGTH,
    },
    { form: 'URL-encoded', texts: [encodeURIComponent(secret)], length: FRAGMENT_LENGTH },
    { form: 'URL-encoded', texts: [hex.replace(/../g, '%$&')], length: FRAGMENT_LENGTH * 3 },
    { form: 'JSON-escaped', texts: [JSON.stringify(secret).slice(1, -1)], length: FRAGMENT_LENGTH },
    { form: 'JSON-escaped', texts: [secret.replace(/[^]/g, escaped)], length: FRAGMENT_LENGTH * 6 },
    { form: 'hex', texts: [hex], length: FRAGMENT_LENGTH * 2 },
    { texts: [secret], length: FRAGMENT_LENGTH },
  ];
}

/** Returns the part of a secret's base64 that does not depend on the bytes around it, where so many bytes come before it. */
function base64After(shift: number, secret: Buffer): readonly string[] {
  const bytes = Buffer.concat([Buffer.alloc(shift), secret]);
  const [first, end] = [shift === 0 ? 0 : shift + 1, Math.floor(bytes.length / 3) * 4];
  return (['base64', 'base64url'] as const).map((form) => bytes.toString(form).slice(first, end));
}

function escaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

import { traceOf } from '../errors/domain-error';
import type { LogEvent } from '../logging/log';

// Every entry point imports this file before any other: what it does must be done before a library is loaded, or fails.

/**
 * Ends the process on an error that nobody caught. Node would print it with its message and all its properties, in which a library's error
 * may have a value or a credential.
 */
process.on('uncaughtException', (error: unknown) => {
  const { errorClass, at } = traceOf(error);
  const shown = [errorClass, ...(at.length > 0 ? ['at', at.join(', ')] : [])].join(' ');
  process.stderr.write(`olares-secret-provider ends because of an unexpected error (${shown}).\n`);
  process.exit(1);
});

/**
 * Process 1, as in a container, gets no signal that it does not listen to: without this one that comes while it is loaded would be lost, and
 * the process be killed after the time that it has for its end. Where the entry point listens by then, its listener decides.
 */
if (process.pid === 1)
  for (const [signal, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
  ] as const)
    process.on(signal, () => {
      if (process.listenerCount(signal) === 1) process.exit(128 + number);
    });

/**
 * On SIGUSR1 Node opens its inspector, which reads all memory. A listener replaces that. `--disable-sigusr1` in the image covers the
 * moments before.
 */
const inspectorSignal = new Promise<void>((resolve) => process.on('SIGUSR1', () => resolve()));

/** Logs the first SIGUSR1, also one that came before this call; further ones are not logged. */
export function logInspectorSignal(log: LogEvent): void {
  void inspectorSignal.then(() => log('warn', 'inspector_signal_ignored'));
}

/**
 * Nest makes two formatters of dates for a logger that this service does not use, as soon as Nest is loaded, and the first formatter of a process
 * has Node read ICU's calendars: 8 MB of memory. So a formatter is made when something is read from it, and wrong arguments throw only then.
 */
Intl.DateTimeFormat = new Proxy(Intl.DateTimeFormat, {
  construct(target, parameters, newTarget) {
    let made: object | undefined;
    const get = (_: object, name: PropertyKey): unknown => {
      made ??= Reflect.construct(target, parameters, newTarget) as object;
      const value: unknown = Reflect.get(made, name, made);
      return typeof value === 'function' ? (value.bind(made) as unknown) : value;
    };
    return new Proxy(Object.create(target.prototype) as object, { get });
  },
});

/*
 * The rest closes the objects that JavaScript itself brings, so that nothing in the process can add a property that all objects inherit
 * ("prototype pollution") or put another function in the place of `JSON.parse` or `Array.prototype.map`. Node's
 * `--frozen-intrinsics` closes more, and the service does not start with it: docs/decisions/0020-hardened-process.md.
 */

const prototypeOf = (value: object): object => Object.getPrototypeOf(value) as object;

const ERRORS = [
  AggregateError,
  Error,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
] as const;

/**
 * Libraries assign to their own objects what these have too (`error.name = …`, `f.toString = …`), and behind a frozen
 * prototype that fails. So nothing is added to these and nothing removed, but what they have stays writable.
 */
const SEALED: readonly object[] = [
  Object.prototype,
  Function.prototype,
  ...ERRORS.map(({ prototype }): object => prototype),
];

const CLASSES = [
  ...[Array, ArrayBuffer, BigInt, Boolean, DataView, Date, FinalizationRegistry, Map, Number],
  ...[Promise, RegExp, Set, SharedArrayBuffer, String, Symbol, WeakMap, WeakRef, WeakSet],
  ...[BigInt64Array, BigUint64Array, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array],
  ...[Uint8Array, Uint8ClampedArray, Uint16Array, Uint32Array, prototypeOf(Uint8Array)],
] as readonly { readonly prototype: object }[];

const ITERATORS = [[], new Map(), new Set(), ''].map((iterable: Iterable<unknown>) =>
  prototypeOf(iterable[Symbol.iterator]()),
);
const GENERATORS = [function* () {}, async function* () {}].map(prototypeOf) as {
  readonly prototype: object;
}[];

/** `Reflect` is left out: reflect-metadata, which Nest is built on, adds its functions to it. `Error` has settings of its own. */
const FROZEN: readonly object[] = [
  ...CLASSES,
  ...CLASSES.map(({ prototype }) => prototype),
  ...ITERATORS,
  ...ITERATORS.map(prototypeOf),
  ...GENERATORS,
  ...GENERATORS.map(({ prototype }) => prototype),
  ...ERRORS.filter((error) => error !== Error),
  ...[Atomics, Function, JSON, Math, Object],
];

for (const object of FROZEN) Object.freeze(object);
for (const object of SEALED) Object.seal(object);

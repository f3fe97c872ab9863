/**
 * Closes the objects that JavaScript itself brings, so that nothing in the process can add a property that all objects inherit
 * ("prototype pollution") or put another function in the place of `JSON.parse` or `Array.prototype.map`. Node's
 * `--frozen-intrinsics` closes more, and the service does not start with it: docs/decisions/0020-hardened-process.md.
 * Every entry point gets this by `inspector-signal.ts`, before any library is loaded.
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
  ...[
    Array,
    ArrayBuffer,
    BigInt,
    Boolean,
    DataView,
    Date,
    FinalizationRegistry,
    Map,
    Number,
    Promise,
    RegExp,
  ],
  ...[Set, SharedArrayBuffer, String, Symbol, WeakMap, WeakRef, WeakSet],
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

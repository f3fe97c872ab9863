import { createHmac, createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';
import type { AuditRecord } from './audit-sink';

/** The end of a chain: its last record. */
export interface ChainEnd {
  /** 0 before the first record. */
  readonly seq: number;
  readonly mac: string;
}

/** What the first record of a chain has as `prev`. */
export const CHAIN_BEGIN: ChainEnd = { seq: 0, mac: '-' };

const MAC_FIELD = ',"mac":"';
const TAIL = /^,"mac":"([\w-]{43})"\}$/;
/** As long as what TAIL matches. */
const TAIL_LENGTH = MAC_FIELD.length + 43 + 2;
const HEAD = /^\{"audit":1,"seq":(\d{1,15}),"prev":"([\w-]+)",/;
/** As long as the longest beginning that HEAD matches. */
const HEAD_LENGTH = 90;

/** What a line of an audit file says of its place in the chain. */
interface ChainedLine {
  readonly seq: number;
  readonly prev: string;
  /** `-` where it has none. */
  readonly mac: string;
  /** False where the line is not as it was written. */
  readonly isGenuine: boolean;
}

/**
 * Chains records and hashes values, with two keys that are derived from AUDIT_KEY (HKDF-SHA256). The chain is keyed, since
 * whoever can edit a file could compute a plain hash anew.
 */
export class AuditChain {
  readonly #chainKey: KeyObject;
  readonly #valueKey: KeyObject;

  constructor(auditKey: Uint8Array) {
    const derive = (purpose: string): KeyObject =>
      createSecretKey(new Uint8Array(hkdfSync('sha256', auditKey, '', `audit ${purpose} v1`, 32)));
    this.#chainKey = derive('chain');
    this.#valueKey = derive('value');
  }

  /** Returns the line of a record, without its newline, and the end of the chain with it. */
  lineAfter(
    { seq, mac: prev }: ChainEnd,
    record: AuditRecord,
  ): { readonly line: string; readonly end: ChainEnd } {
    const next = seq + 1;
    const begun = `{"audit":1,"seq":${next},"prev":"${prev}",${JSON.stringify(record).slice(1, -1)}`;
    const mac = this.#macOf(begun);
    return { line: `${begun}${MAC_FIELD}${mac}"}`, end: { seq: next, mac } };
  }

  /** Returns what a line says; undefined for one that is no record. */
  parse(line: Buffer): ChainedLine | undefined {
    const [, seq, prev] = HEAD.exec(line.toString('latin1', 0, HEAD_LENGTH)) ?? [];
    const at = line.length - TAIL_LENGTH;
    if (seq === undefined || prev === undefined || at < 0) return undefined;
    // Whatever stands there would otherwise get to a terminal, and into our next record.
    const [, mac = CHAIN_BEGIN.mac] = TAIL.exec(line.toString('latin1', at)) ?? [];
    return { seq: Number(seq), prev, mac, isGenuine: this.#macOf(line.subarray(0, at)) === mac };
  }

  /** Returns the text of the file that remembers the end of the chain. */
  headText({ seq, mac }: ChainEnd): string {
    return `${JSON.stringify({ seq, last: mac, mac: this.#macOf(`head ${seq} ${mac}`) })}\n`;
  }

  /** Returns the end of the chain in that text; undefined where it is not as it was written. */
  parseHead(text: string): ChainEnd | undefined {
    const [, seq = '', last = '', mac] =
      /^\{"seq":(\d{1,15}),"last":"([\w-]+)","mac":"([\w-]+)"\}\n/.exec(text) ?? [];
    return mac === this.#macOf(`head ${seq} ${last}`) ? { seq: Number(seq), mac: last } : undefined;
  }

  /** Returns the keyed hash of a written value, bound to the place of the secret: equal values of two secrets differ in it. */
  valueMac(place: SecretPlace, value: string): string {
    const { user, workspace, environment, name } = place;
    return createHmac('sha256', this.#valueKey)
      .update(JSON.stringify([user, workspace, environment, name, value]))
      .digest('base64url');
  }

  #macOf(bytes: string | Buffer): string {
    return createHmac('sha256', this.#chainKey).update(bytes).digest('base64url');
  }
}

/** Where a written value belongs. */
export type SecretPlace = Required<Pick<AuditRecord, 'user' | 'workspace' | 'environment' | 'name'>>;

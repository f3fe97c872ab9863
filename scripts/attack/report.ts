import type { Outcomes } from '../../test/support/attacks/attack-connection';
import type { Row } from './measure';

const COLUMNS = [
  'attack',
  'p50 quiet → attacked (ms)',
  'p99 quiet → attacked (ms)',
  'p99 ratio',
  'p99 of a server beside',
  'served',
  'longest stall (ms)',
  'peak MiB (own + kernel + sockets)',
  'the service',
  'after: in flight, descriptors more, attacker served, seconds',
  'the attackers',
  'the others',
] as const;

export function headOfTable(): readonly string[] {
  return [`| ${COLUMNS.join(' | ')} |`, `|${'---|'.repeat(COLUMNS.length)}`];
}

export function lineOf(row: Row): string {
  const { quiet, attacked, peakMib, after } = row;
  const cells = [
    row.attack,
    `${quiet.p50Ms} → ${attacked.p50Ms}`,
    `${quiet.p99Ms} → ${attacked.p99Ms}`,
    row.ratio,
    `${quiet.controlP99Ms} → ${attacked.controlP99Ms}`,
    `${(attacked.served * 100).toFixed(1)} %`,
    row.stallMs,
    `${peakMib.all} (${peakMib.own} + ${peakMib.kernel} + ${peakMib.sockets})`,
    row.ended ?? `lives, ${Math.round(row.cpuShare * 100)} % CPU`,
    `${after.inFlight ?? '–'}, ${after.descriptorsMore}, ${after.attackerIsServed ? 'yes' : 'no'}, ${after.recoveredInS}`,
    listOf(row.attackers),
    listOf(attacked.failures) || '–',
  ];
  return `| ${cells.join(' | ')} |`;
}

function listOf(outcomes: Outcomes): string {
  return Object.entries(outcomes)
    .sort(([, a], [, b]) => b - a)
    .slice(0, 8)
    .map(([outcome, count]) => `${count} × ${outcome}`)
    .join(', ');
}

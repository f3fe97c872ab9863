import { chownSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const NOBODY = 65534;

/** Runs a test without root's right to read everything, as the owner of a folder; for other users it runs as they are. */
export async function withoutPrivileges(root: string, run: () => Promise<void>): Promise<void> {
  if (process.geteuid?.() !== 0) return run();
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' });
  for (const path of [root, ...names.map((name) => join(root, name))]) chownSync(path, NOBODY, NOBODY);
  process.seteuid?.(NOBODY);
  try {
    await run();
  } finally {
    process.seteuid?.(0);
  }
}

/**
 * Returns the arguments with which a Node that root starts becomes another user before it loads its script; none for anybody but root. Spawning it
 * as that user would need a Node that every user may run, and a newcomer's may lie below /root.
 */
export function becomes(uid: number): readonly string[] {
  if (process.geteuid?.() !== 0) return [];
  const drop = `process.setgroups([]); process.setgid(${uid}); process.setuid(${uid});`;
  return ['--import', `data:text/javascript,${encodeURIComponent(drop)}`];
}

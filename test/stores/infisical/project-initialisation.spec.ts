import { ProjectInitialisation } from '../../../src/stores/infisical/projects/project-directory';

const PATIENCE = { maxMs: 10_000, late: () => new Error('late') };

/** Which of two writes began while neither had ended. */
async function begunAtOnce(warmUps: ProjectInitialisation, projectId: string): Promise<number> {
  let begun = 0;
  let end = (): void => undefined;
  const held = new Promise<void>((resolve) => (end = resolve));
  const write = () => {
    begun += 1;
    return held;
  };
  const writes = [warmUps.run(projectId, write, PATIENCE), warmUps.run(projectId, write, PATIENCE)];
  await new Promise(setImmediate);
  const seen = begun;
  end();
  await Promise.all(writes);
  return seen;
}

describe('the first writes of new projects', () => {
  it('are sent alone until one has succeeded, and concurrently after that', async () => {
    const warmUps = new ProjectInitialisation(2);
    warmUps.add('new');
    expect(await begunAtOnce(warmUps, 'new')).toBe(1);
    expect(await begunAtOnce(warmUps, 'new')).toBe(2);
  });

  it('are sent alone again when the first one failed', async () => {
    const warmUps = new ProjectInitialisation(2);
    warmUps.add('new');
    await expect(warmUps.run('new', () => Promise.reject(new Error('cut')), PATIENCE)).rejects.toThrow('cut');
    expect(await begunAtOnce(warmUps, 'new')).toBe(1);
  });

  it('wait until their deadline, are not sent after it, and keep the order of the queue', async () => {
    const warmUps = new ProjectInitialisation(2);
    warmUps.add('new');
    let end = (): void => undefined;
    const begun: string[] = [];
    const first = warmUps.run('new', () => new Promise<void>((resolve) => (end = resolve)), PATIENCE);
    const hasty = warmUps.run('new', async () => void begun.push('hasty'), { ...PATIENCE, maxMs: 5 });
    const patient = warmUps.run('new', async () => void begun.push('patient'), PATIENCE);
    await expect(hasty).rejects.toThrow('late');
    expect(begun).toEqual([]);
    end();
    await Promise.all([first, patient]);
    expect(begun).toEqual(['patient']);
  });

  it('are remembered for a bounded number of projects, however many were created and never written', async () => {
    const warmUps = new ProjectInitialisation(2);
    for (const id of ['a', 'b', 'c']) warmUps.add(id);
    expect(await begunAtOnce(warmUps, 'a')).toBe(2);
    expect(await begunAtOnce(warmUps, 'b')).toBe(1);
    expect(await begunAtOnce(warmUps, 'c')).toBe(1);
  });
});

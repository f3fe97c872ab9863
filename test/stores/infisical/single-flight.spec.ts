import { SingleFlight } from '../../../src/concurrency/keyed-work';

describe('work that is shared', () => {
  const ended = (works: Promise<string>[]) =>
    Promise.all(works.map((work) => work.catch(({ message }: Error) => message)));
  const fails = (message: string) => async (): Promise<string> => {
    await new Promise(setImmediate);
    throw new Error(message);
  };
  const ofItsTime = (error: unknown) => error instanceof Error && error.message === 'late';

  it('is begun anew by who joined it, once for all of them, where it failed for want of its own time', async () => {
    const flight = new SingleFlight<string>();
    let begun = 0;
    const again = async () => `done ${(begun += 1)}`;
    const works = [fails('late'), again, again].map((start) => flight.run('k', start, { isOwn: ofItsTime }));
    expect(await ended(works)).toEqual(['late', 'done 1', 'done 1']);
  });

  it('fails for all of them where it failed for another reason', async () => {
    const flight = new SingleFlight<string>();
    const works = [fails('refused'), async () => 'done'].map((start) =>
      flight.run('k', start, { isOwn: ofItsTime }),
    );
    expect(await ended(works)).toEqual(['refused', 'refused']);
  });
});

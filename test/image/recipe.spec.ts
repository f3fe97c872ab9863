import { validate } from 'dockerfile-utils';
import { RECIPE, stagesOf } from './recipe';

const [before = [], build = [], final = []] = stagesOf();
const of = (keyword: string) => final.filter((step) => step.keyword === keyword);

describe("the image's recipe", () => {
  it('has nothing that a linter objects to', () => {
    expect(validate(RECIPE, { deprecatedMaintainer: 2, directiveCasing: 2, instructionCasing: 2 })).toEqual(
      [],
    );
  });

  it('takes both of its bases from arguments, so that whoever builds it pins them by digest', () => {
    const bases = before
      .filter(({ keyword }) => keyword === 'ARG')
      .map(({ words: [word = ''] }) => word.split('=')[0]);
    expect([build, final].map(([from]) => from?.words[0])).toEqual(bases.map((name) => `\${${name}}`));
    expect(before.map(({ text }) => text).join()).not.toMatch(/:latest|=[a-z/]+(,|$)/);
  });

  it('ends as a numeric user that is not root', () => {
    expect(of('USER').map(({ text }) => text)).toEqual(['65532:65532']);
    expect(final.findIndex(({ keyword }) => keyword === 'USER')).toBeGreaterThan(
      final.findLastIndex(({ keyword }) => keyword === 'COPY'),
    );
  });

  it('needs no shell at run time, and Node has no debugger there that opens by a signal', () => {
    expect(of('RUN')).toEqual([]);
    for (const step of [...of('ENTRYPOINT'), ...of('HEALTHCHECK')])
      expect(step.text.replace(/^.*?CMD /, '')).toMatch(/^\["node", "--disable-sigusr1", /);
  });

  it('asks the metrics port how the service is, where there is one: the other may speak TLS and want a certificate', () => {
    const [check] = of('HEALTHCHECK');
    expect(check?.text).toContain(
      "'http://127.0.0.1:'+(process.env.METRICS_PORT||process.env.PORT||8080)+'/livez'",
    );
  });

  it('copies what was built, owned by root, and nothing else', () => {
    expect(of('COPY').map(({ words, flags }) => [flags['from'], flags['chown'], words[0]])).toEqual([
      ['build', '0:0', '/app/package.json'],
      ['build', '0:0', '/app/node_modules'],
      ['build', '0:0', '/app/dist'],
    ]);
    expect([...build, ...final].filter(({ keyword }) => keyword === 'ADD')).toEqual([]);
  });

  it('bears the labels of the Open Container Initiative', () => {
    const labels = of('LABEL')
      .map(({ text }) => text)
      .join(' ');
    for (const name of ['title', 'description', 'licenses', 'source', 'version', 'revision'])
      expect(labels).toContain(`org.opencontainers.image.${name}=`);
  });

  it('holds no credential: keys are mounted as files', () => {
    expect(RECIPE).not.toMatch(/(SECRET|TOKEN|PASSWORD|_KEY)=/);
  });
});

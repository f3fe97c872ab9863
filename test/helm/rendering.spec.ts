import { FAMILIES } from './helm-tools';
import { lint, render } from './chart';
import { VARIANT_NAMES, renderVariant, variantValues } from './variants';

/** Keys are made anew at each rendering outside of a cluster. */
function comparable(manifests: readonly unknown[]): string {
  return JSON.stringify(manifests, (key, value: unknown) =>
    key === 'data' && isKey(value) ? 'a key' : value,
  );
}
function isKey(value: unknown): boolean {
  const [name] = Object.keys(value as object);
  return name === 'access-token-key' || name === 'master-key';
}

describe.each(VARIANT_NAMES)('the chart for %s', (name) => {
  const { profile, values } = variantValues(name);

  it.each(FAMILIES)('passes lint --strict of %s', (family) => {
    const { ok, stdout, stderr } = lint({ family, profiles: [profile], values });
    expect([ok, stderr, stdout.match(/\[(WARNING|ERROR)\].*/g)]).toEqual([
      true,
      expect.not.stringContaining('Fail'),
      null,
    ]);
  });

  it('is rendered alike by Helm 3 and Helm 4', () => {
    const helm3 = render({ family: 'helm 3', profiles: [profile], values });
    expect(comparable(helm3)).toBe(comparable(renderVariant(name)));
  });
});

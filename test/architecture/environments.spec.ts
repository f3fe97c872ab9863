import { Command } from 'commander';
import { withConnection } from '../../src/cli/connection';
import type { Environment as EnvironmentOfTheClient } from '../../src/client/options';
import { ENVIRONMENTS, type Environment } from '../../src/secrets/secret';

/** One that the other does not have is a compile error. */
const ofTheService: Record<Environment, true> = { test: true, dev: true, staging: true, prod: true };
const ofTheClient: Record<EnvironmentOfTheClient, true> = ofTheService satisfies Record<
  EnvironmentOfTheClient,
  true
>;

describe('the environments', () => {
  it('are the same in the service, in the client and in the command line', () => {
    const option = withConnection(new Command()).options.find(({ long }) => long === '--env');
    expect(option?.argChoices).toEqual(ENVIRONMENTS);
    expect(Object.keys(ofTheClient)).toEqual(ENVIRONMENTS);
  });
});

import { SECRET_OPERATIONS } from '../../src/authz/grant';
import { FixedGrantSource } from './fixed-grant-source';

/** Alice's otmoiclp holds all five operations on `otmoic`; her reader may only retrieve; bob has otmoiclp too. */
export const OTMOICLP = {
  app: 'otmoiclp',
  user: 'alice',
  appKey: 'bytetrade_otmoiclp_123456',
  appSecret: '0123456789abcdef',
  ops: SECRET_OPERATIONS.map((operation) => `${operation}?workspace=otmoic`),
};
export const READER = {
  app: 'reader',
  user: 'alice',
  appKey: 'bytetrade_reader_654321',
  appSecret: 'fedcba9876543210',
  ops: ['RetrieveSecret?workspace=otmoic'],
};
export const BOBS_OTMOICLP = {
  ...OTMOICLP,
  user: 'bob',
  appKey: 'bytetrade_otmoiclp_777777',
  appSecret: 'bobsbobsbobsbobs',
};

export const EXAMPLE_APPS = [OTMOICLP, READER, BOBS_OTMOICLP];

export function exampleApps(): FixedGrantSource {
  return new FixedGrantSource(EXAMPLE_APPS);
}

import { InvalidRequest } from '../errors/request-errors';
import { PLAIN_USER } from './plain-user';

/** The user whom a system event names. Its other fields are the sender's own, and may grow. @throws InvalidRequest */
export function userOfEvent(body: unknown): string {
  const name: unknown = typeof body === 'object' && body !== null && 'name' in body ? body.name : undefined;
  if (typeof name !== 'string' || !PLAIN_USER.test(name)) {
    throw new InvalidRequest('name', 'must be the name of one user');
  }
  return name;
}

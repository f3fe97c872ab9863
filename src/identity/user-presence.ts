/** Knows which users there are, as the cluster itself says: not what an event says of them. */
export abstract class UserPresence {
  /** True as long as anything of the user's own may still run. @throws IdentityUnavailable (503) while unknown */
  abstract isHere(user: string): boolean;
  /** Told when the last of a user is gone. */
  abstract onGone(listener: (user: string) => void): void;
}

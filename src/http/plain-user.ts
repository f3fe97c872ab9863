/** What a user may be called: as Kubernetes names things, with room for capitals. */
export const PLAIN_USER = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/;

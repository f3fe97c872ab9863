/** The machine identity's, on the stand-in only. */
export const LOGIN = { clientId: 'bench', clientSecret: 'bench-secret' };

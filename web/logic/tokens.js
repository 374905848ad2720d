// Owns what a token's form says about whose it is.

const USER_PREFIX = 'rhg_';
const JWT = /^eyJ[\w-]*\.eyJ[\w-]*\.[\w-]*$/;

/** Whether it is a user's: a named user's token or a login's JWT. The operator's access tokens have neither form. */
export const isUserToken = (token) => Boolean(token) && (token.startsWith(USER_PREFIX) || JWT.test(token));

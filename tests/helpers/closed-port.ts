/**
 * A loopback port that no server has. The port of a server that has stopped is not one: it is free,
 * and the next server, of any test, may get it. The system gives no port below 1024 away by itself,
 * and `fetch` refuses many of those without a try, but not this one.
 */
export const CLOSED_PORT = 2;

/** A caller. Jobs belong to its `id`; an admin sees the jobs of every principal. */
export interface Principal {
  readonly id: string;
  readonly admin: boolean;
}

/** The principal of the admin token. */
export const ADMIN_PRINCIPAL: Principal = { id: 'admin', admin: true };

/** The principal of an owner's id. Only the admin has rights beyond its own jobs. */
export const ownerNamed = (id: string): Principal =>
  id === ADMIN_PRINCIPAL.id ? ADMIN_PRINCIPAL : { id, admin: false };

/** Owner of raw requests from the requests channel. It has no rights over HTTP. */
export const RAW_PRINCIPAL: Principal = { id: 'raw', admin: false };

/** Whether a principal may see and change the jobs and batches of `owner`. */
export const maySee = (principal: Principal, owner: string): boolean =>
  principal.admin || principal.id === owner;

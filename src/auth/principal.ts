/** Who asks. `id` owns jobs; an admin sees everybody's. */
export interface Principal {
  readonly id: string;
  readonly admin: boolean;
}

/** What the admin key of a server acts as. */
export const ADMIN_PRINCIPAL: Principal = { id: 'admin', admin: true };

/** The principal whose jobs have this owner. Only the admin has rights beyond his own jobs. */
export const ownerNamed = (id: string): Principal =>
  id === ADMIN_PRINCIPAL.id ? ADMIN_PRINCIPAL : { id, admin: false };

/** Owner of raw requests from the requests channel: no rights over HTTP. */
export const RAW_PRINCIPAL: Principal = { id: 'raw', admin: false };

/** Whether a principal may see and change what `owner` made. */
export const maySee = (principal: Principal, owner: string): boolean =>
  principal.admin || principal.id === owner;

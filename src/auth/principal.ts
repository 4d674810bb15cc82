/** Who asks. `id` owns jobs; an admin sees everybody's. */
export interface Principal {
  readonly id: string;
  readonly admin: boolean;
}

/** Owner of raw requests from the requests channel: no rights over HTTP. */
export const RAW_PRINCIPAL: Principal = { id: 'raw', admin: false };

/** Whether a principal may see and change what `owner` made. */
export const maySee = (principal: Principal, owner: string): boolean =>
  principal.admin || principal.id === owner;

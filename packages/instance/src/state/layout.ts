/** Where things lie in the folder D of an instance (`Assignment.datadir`). */

/** PostgreSQL's own directory. */
export const pgdataDir = (datadir: string): string => `${datadir}/pgdata`
/** WAL files that PostgreSQL itself wrote, or replayed. */
export const pgWalDir = (datadir: string): string => `${datadir}/pgdata/pg_wal`
/** WAL files that a mirror received. */
export const receivedWalDir = (datadir: string): string => `${datadir}/wal`
/** WAL of an ex-primary that its successor does not have, kept until an administrator deletes it. */
export const divergedDir = (datadir: string): string => `${datadir}/diverged`
/** Small durable files of ours. */
export const stateDir = (datadir: string): string => `${datadir}/state`
/** What slow clients of a coordinator have not read yet. */
export const spillDir = (datadir: string): string => `${datadir}/spill`
/** Who this folder belongs to. */
export const identityFile = (datadir: string): string => `${datadir}/instance.json`
/** The assignment that the instance last ran under. */
export const assignmentFile = (datadir: string): string => `${stateDir(datadir)}/assignment.json`
/** Written, fsynced and read back by each probe, in the directory whose disk must work. Greenplum's name. */
export const diskCheckFile = (datadir: string): string => `${pgdataDir(datadir)}/fts_probe_file.bak`

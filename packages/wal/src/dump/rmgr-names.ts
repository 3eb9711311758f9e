/** Names of PostgreSQL 18's resource managers and of what their records do, as pg_waldump prints them. */

interface Rmgr {
  readonly name: string
  /** Bits of xl_info that tell the operation. */
  readonly mask: number
  /** By the upper four bits of xl_info; empty where there is no such operation. */
  readonly operations: readonly string[]
}

const of = (name: string, operations: string, mask = 0xf0): Rmgr => ({
  name,
  mask,
  operations: operations.split(' ').map((one) => (one === '-' ? '' : one)),
})

const RMGRS: readonly Rmgr[] = [
  of(
    'XLOG',
    'CHECKPOINT_SHUTDOWN CHECKPOINT_ONLINE NOOP NEXTOID SWITCH BACKUP_END PARAMETER_CHANGE RESTORE_POINT FPW_CHANGE END_OF_RECOVERY FPI_FOR_HINT FPI - OVERWRITE_CONTRECORD CHECKPOINT_REDO',
  ),
  of('Transaction', 'COMMIT PREPARE ABORT COMMIT_PREPARED ABORT_PREPARED ASSIGNMENT INVALIDATION', 0x70),
  of('Storage', '- CREATE TRUNCATE'),
  of('CLOG', 'ZEROPAGE TRUNCATE'),
  of('Database', 'CREATE_FILE_COPY CREATE_WAL_LOG DROP'),
  of('Tablespace', 'CREATE DROP'),
  of('MultiXact', 'ZERO_OFF_PAGE ZERO_MEM_PAGE CREATE_ID TRUNCATE_ID'),
  of('RelMap', 'UPDATE'),
  of('Standby', 'LOCK RUNNING_XACTS INVALIDATIONS'),
  of(
    'Heap2',
    'REWRITE PRUNE_ON_ACCESS PRUNE_VACUUM_SCAN PRUNE_VACUUM_CLEANUP VISIBLE MULTI_INSERT LOCK_UPDATED NEW_CID',
    0x70,
  ),
  of('Heap', 'INSERT DELETE UPDATE TRUNCATE HOT_UPDATE HEAP_CONFIRM LOCK INPLACE', 0x70),
  of(
    'Btree',
    'INSERT_LEAF INSERT_UPPER INSERT_META SPLIT_L SPLIT_R INSERT_POST DEDUP DELETE UNLINK_PAGE UNLINK_PAGE_META NEWROOT MARK_PAGE_HALFDEAD VACUUM REUSE_PAGE META_CLEANUP',
  ),
  of(
    'Hash',
    'INIT_META_PAGE INIT_BITMAP_PAGE INSERT ADD_OVFL_PAGE SPLIT_ALLOCATE_PAGE SPLIT_PAGE SPLIT_COMPLETE MOVE_PAGE_CONTENTS SQUEEZE_PAGE DELETE SPLIT_CLEANUP UPDATE_META_PAGE VACUUM_ONE_PAGE',
  ),
  of(
    'Gin',
    '- CREATE_PTREE INSERT SPLIT VACUUM_PAGE DELETE_PAGE UPDATE_META_PAGE INSERT_LISTPAGE DELETE_LISTPAGE VACUUM_DATA_LEAF_PAGE',
  ),
  of('Gist', 'PAGE_UPDATE DELETE PAGE_REUSE PAGE_SPLIT - - PAGE_DELETE'),
  of('Sequence', 'LOG'),
  of(
    'SPGist',
    '- ADD_LEAF MOVE_LEAFS ADD_NODE SPLIT_TUPLE PICKSPLIT VACUUM_LEAF VACUUM_ROOT VACUUM_REDIRECT',
  ),
  of('BRIN', 'CREATE_INDEX INSERT UPDATE SAMEPAGE_UPDATE REVMAP_EXTEND DESUMMARIZE', 0x70),
  of('CommitTs', 'ZEROPAGE TRUNCATE'),
  of('ReplicationOrigin', 'SET DROP'),
  of('Generic', 'Generic'),
  of('LogicalMessage', 'MESSAGE'),
]

/** Resource managers whose records say with the highest bit that they start on a fresh page. */
const WITH_INIT = new Set(['Heap', 'Heap2', 'BRIN'])

/** Names of all resource managers of PostgreSQL itself. */
export const rmgrNames: readonly string[] = RMGRS.map(({ name }) => name)

/** Name of a resource manager; `custom128` and up for those of extensions. */
export function rmgrName(rmgr: number): string {
  return RMGRS[rmgr]?.name ?? `custom${rmgr}`
}

/** What the record does, e.g. `COMMIT` or `INSERT+INIT`; `UNKNOWN (0x..)` when PostgreSQL 18 has no such operation. */
export function operationName(rmgr: number, info: number): string {
  const known = RMGRS[rmgr]
  const operation = known === undefined ? undefined : known.operations[(info & known.mask) >> 4]
  if (known === undefined || operation === undefined || operation === '')
    return `UNKNOWN (0x${(info & 0xf0).toString(16)})`
  return WITH_INIT.has(known.name) && (info & 0x80) !== 0 ? `${operation}+INIT` : operation
}

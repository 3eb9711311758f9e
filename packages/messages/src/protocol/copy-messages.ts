/** Copying a data directory block by block (replication §4): full and differential recovery, standby init. The receiver asks. Purpose `copy`. */
import { define } from './define.ts'
import * as f from './field.ts'

const smallFiles = (unit: string, most: string) =>
  f.list(f.tuple([f.text('path below pgdata'), f.uint(unit)], 'a file'), `512 at most, ${most} together`, 512)

export const copyMessages = {
  'copy.begin': define(
    'Begin an online backup. Refused while another one runs (copy.busy) or on a mirror (not.primary).',
    'copy.begun',
    {
      dbid: f.dbid('the asking instance'),
      content: f.content('its content'),
      epoch: f.epoch('highest epoch that the asker promised'),
      checkpoint: f.oneOf(['fast'], 'how the checkpoint at the beginning is done'),
    },
  ),
  'copy.begun': define('The backup has begun; its files may be read now.', null, {
    copyId: f.text('names this backup'),
    startLsn: f.lsn('WAL from here on is needed'),
    timeline: f.timeline('timeline at the start'),
    files: f.list(
      f.tuple(
        [f.text('path below pgdata'), f.uint('size'), f.uint('mode bits')],
        'a file (size) or folder (path ends in /)',
      ),
      'what to copy, pg_control last',
    ),
  }),
  'copy.hashes': define('Hashes of the blocks of a file.', 'copy.hashesAre', {
    copyId: f.text('the backup'),
    path: f.text('path below pgdata'),
    firstBlock: f.uint('number of the first block'),
    blocks: f.uint('how many, 8,192 at most'),
  }),
  'copy.hashesAre': define('One 8-byte hash per 8 KiB block; fewer when the file ends.', null, {
    hashes: f.bytes('concatenated'),
  }),
  'copy.read': define('Blocks of a file.', 'copy.bytes', {
    copyId: f.text('the backup'),
    path: f.text('path below pgdata'),
    offset: f.uint('from this byte'),
    length: f.uint('at most 4 MiB'),
  }),
  'copy.bytes': define('The bytes; fewer when the file ends, none when it is gone.', null, {
    bytes: f.bytes('as on disk'),
  }),
  'copy.hashFiles': define('Hashes of all blocks of small files.', 'copy.fileHashes', {
    copyId: f.text('the backup'),
    files: smallFiles('blocks', '128 blocks'),
  }),
  'copy.fileHashes': define('As `copy.hashesAre`, for each of the files.', null, {
    counts: f.list(
      f.uint('hashes of a file; fewer than blocks when it ends, none when it is gone'),
      'in the order asked for',
    ),
    hashes: f.bytes('concatenated'),
  }),
  'copy.readFiles': define('Small files.', 'copy.files', {
    copyId: f.text('the backup'),
    files: smallFiles('bytes', '1 MiB'),
  }),
  'copy.files': define('As `copy.bytes`, for each of the files.', null, {
    lengths: f.list(
      f.uint('bytes of a file; fewer when it ends, none when it is gone'),
      'in the order asked for',
    ),
    bytes: f.bytes('concatenated'),
  }),
  'copy.end': define('End the backup.', 'copy.ended', { copyId: f.text('the backup') }),
  'copy.ended': define('What the copy needs to be recovered.', null, {
    backupLabel: f.text('content of backup_label'),
    endLsn: f.lsn('WAL up to here is needed'),
    timeline: f.timeline('timeline at the end'),
    history: f.nullable(f.bytes('history file of the timeline, if it has one')),
  }),
} as const

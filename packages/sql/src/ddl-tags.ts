/**
 * Kinds of parse trees that are schema changes, with their command tags (for logs and EXPLAIN; clients see the engine's own tag).
 */
import type { Ast } from './ast.ts'

const TAGS: Record<string, string> = {
  AlterDefaultPrivilegesStmt: 'ALTER DEFAULT PRIVILEGES',
  AlterDomainStmt: 'ALTER DOMAIN',
  AlterEnumStmt: 'ALTER TYPE',
  AlterExtensionStmt: 'ALTER EXTENSION',
  AlterFunctionStmt: 'ALTER FUNCTION',
  AlterObjectSchemaStmt: 'ALTER',
  AlterOwnerStmt: 'ALTER',
  AlterPolicyStmt: 'ALTER POLICY',
  AlterRoleSetStmt: 'ALTER ROLE',
  AlterRoleStmt: 'ALTER ROLE',
  AlterSeqStmt: 'ALTER SEQUENCE',
  AlterStatsStmt: 'ALTER STATISTICS',
  AlterTableStmt: 'ALTER TABLE',
  AlterTypeStmt: 'ALTER TYPE',
  CommentStmt: 'COMMENT',
  CompositeTypeStmt: 'CREATE TYPE',
  CreateCastStmt: 'CREATE CAST',
  CreateConversionStmt: 'CREATE CONVERSION',
  CreateDomainStmt: 'CREATE DOMAIN',
  CreateEnumStmt: 'CREATE TYPE',
  CreateExtensionStmt: 'CREATE EXTENSION',
  CreateFunctionStmt: 'CREATE FUNCTION',
  CreateOpClassStmt: 'CREATE OPERATOR CLASS',
  CreateOpFamilyStmt: 'CREATE OPERATOR FAMILY',
  CreatePolicyStmt: 'CREATE POLICY',
  CreateRangeStmt: 'CREATE TYPE',
  CreateRoleStmt: 'CREATE ROLE',
  CreateSchemaStmt: 'CREATE SCHEMA',
  CreateSeqStmt: 'CREATE SEQUENCE',
  CreateStatsStmt: 'CREATE STATISTICS',
  CreateStmt: 'CREATE TABLE',
  CreateTableAsStmt: 'CREATE TABLE AS',
  CreateTrigStmt: 'CREATE TRIGGER',
  DefineStmt: 'CREATE',
  DropOwnedStmt: 'DROP OWNED',
  DropRoleStmt: 'DROP ROLE',
  DropStmt: 'DROP',
  GrantRoleStmt: 'GRANT ROLE',
  GrantStmt: 'GRANT',
  IndexStmt: 'CREATE INDEX',
  ReassignOwnedStmt: 'REASSIGN OWNED',
  RenameStmt: 'ALTER',
  RuleStmt: 'CREATE RULE',
  SecLabelStmt: 'SECURITY LABEL',
  TruncateStmt: 'TRUNCATE TABLE',
  ViewStmt: 'CREATE VIEW',
}

export function isDdl(kind: string): boolean {
  return kind in TAGS
}

export function commandTag(kind: string, body: Ast): string {
  if (kind === 'DropStmt') return `DROP ${objectWord(body.removeType)}`
  if (kind === 'RenameStmt') return `ALTER ${objectWord(body.renameType)}`
  if (kind === 'AlterOwnerStmt' || kind === 'AlterObjectSchemaStmt')
    return `ALTER ${objectWord(body.objectType)}`
  if (kind === 'GrantStmt' && body.is_grant !== true) return 'REVOKE'
  if (kind === 'GrantRoleStmt' && body.is_grant !== true) return 'REVOKE ROLE'
  return TAGS[kind] ?? kind
}

function objectWord(type: unknown): string {
  const word = String(type)
    .replace(/^OBJECT_/, '')
    .replaceAll('_', ' ')
  return word === 'COLUMN' || word === 'TABCONSTRAINT' || word === 'ATTRIBUTE'
    ? 'TABLE'
    : word === 'MATVIEW'
      ? 'MATERIALIZED VIEW'
      : word
}

import { RequestMethod } from '@nestjs/common';
import { METHOD_METADATA, PATH_METADATA, ROUTE_ARGS_METADATA } from '@nestjs/common/constants';
import { RouteParamtypes } from '@nestjs/common/enums/route-paramtypes.enum';
import { ModulesContainer } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { getMetadataStorage } from 'class-validator';
import { ROUTE_ACCESS, type RouteAccess } from '../../src/http/request/provider-request';
import fc from '../support/fast-check';

/** One rule of a field, as a decorator of class-validator states it. */
interface FieldRule {
  readonly name: string;
  readonly constraints: readonly unknown[];
  accepts(value: unknown): boolean;
}

/** A field of a request class. */
export interface Field {
  readonly name: string;
  readonly isOptional: boolean;
  readonly rules: readonly FieldRule[];
}

export interface Route {
  readonly method: string;
  /** With the names of parameters, as `/admin/secret/:app`. */
  readonly path: string;
  readonly access: RouteAccess;
  /** The fields of the class of its body; undefined where the route reads the body itself, or none. */
  readonly body: readonly Field[] | undefined;
  readonly query: readonly Field[];
}

type Class = new () => object;

/** Returns every route of the application with the fields of its request classes, as the decorators state them. */
export function routesOf(app: NestExpressApplication): readonly Route[] {
  const controllers = [...app.get(ModulesContainer).values()].flatMap(({ controllers: some }) => [
    ...some.values(),
  ]);
  return controllers.flatMap(({ metatype }) =>
    typeof metatype === 'function' ? routesOfClass(metatype) : [],
  );
}

function routesOfClass(controller: NonNullable<unknown> & { readonly prototype?: object }): readonly Route[] {
  const prototype = controller.prototype ?? {};
  const base: unknown = Reflect.getMetadata(PATH_METADATA, controller);
  return Object.getOwnPropertyNames(prototype).flatMap((name) => {
    const handler: unknown = Object.getOwnPropertyDescriptor(prototype, name)?.value;
    if (typeof handler !== 'function') return [];
    const method = Reflect.getMetadata(METHOD_METADATA, handler) as RequestMethod | undefined;
    if (method === undefined) return [];
    const path = [base, Reflect.getMetadata(PATH_METADATA, handler)].filter((part) => part !== '/');
    const access = [handler, controller].map((of) => Reflect.getMetadata(ROUTE_ACCESS, of) as RouteAccess);
    const classAt = (kind: RouteParamtypes): Class | undefined =>
      argumentClass(controller, prototype, name, kind);
    return [
      {
        method: RequestMethod[method],
        path: `/${path.join('/')}`,
        access: access.find((one) => one !== undefined) ?? 'app',
        body: fieldsOf(classAt(RouteParamtypes.BODY)),
        query: fieldsOf(classAt(RouteParamtypes.QUERY)) ?? [],
      },
    ];
  });
}

/** Returns the class of the argument that Nest takes from this part of a request. */
function argumentClass(
  controller: object,
  prototype: object,
  name: string,
  kind: RouteParamtypes,
): Class | undefined {
  const given = (Reflect.getMetadata(ROUTE_ARGS_METADATA, controller, name) ?? {}) as Record<
    string,
    { readonly index: number }
  >;
  const [, argument] = Object.entries(given).find(([key]) => key.startsWith(`${kind}:`)) ?? [];
  const classes = Reflect.getMetadata('design:paramtypes', prototype, name) as readonly Class[];
  return argument && classes[argument.index];
}

/** Returns the fields of a request class; undefined for a type without rules. */
function fieldsOf(request: Class | undefined): readonly Field[] | undefined {
  if (request === undefined) return undefined;
  const storage = getMetadataStorage();
  const stated = storage.getTargetValidationMetadatas(request, '', false, false);
  if (stated.length === 0) return undefined;
  return [...new Set(stated.map(({ propertyName }) => propertyName))].map((name) => {
    const own = stated.filter(({ propertyName }) => propertyName === name);
    const rules = own.flatMap(({ constraintCls, name: rule = '', constraints = [] }) => {
      const [constraint] =
        constraintCls === undefined ? [] : storage.getTargetValidatorConstraints(constraintCls);
      if (constraint === undefined) return [];
      const accepts = (value: unknown): boolean =>
        constraint.instance.validate(value, {
          value,
          constraints,
          targetName: '',
          object: {},
          property: name,
        }) === true;
      return [{ name: rule, constraints, accepts }];
    });
    return { name, rules, isOptional: own.some(({ type }) => type === 'conditionalValidation') };
  });
}

/** Made once: fast-check prepares much for each kind of text. */
const ANY_TEXT = fc.string({ minLength: 1, maxLength: 20 });

/** Returns values that the rules of a field accept, made of what the rules say. */
export function accepted({ rules }: Field): fc.Arbitrary<unknown> {
  const stated = rules.flatMap(({ constraints: [constraint] }) =>
    constraint instanceof RegExp
      ? [fc.stringMatching(constraint)]
      : Array.isArray(constraint) && constraint.length > 0
        ? [fc.constantFrom<unknown>(...(constraint as readonly unknown[]))]
        : [],
  );
  const values = stated[0] ?? ANY_TEXT;
  return values.filter((value) => rules.every((rule) => rule.accepts(value)));
}

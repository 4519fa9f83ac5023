/* The update rules there are, each in its own file. */
#ifndef EDITOR_RULES_H
#define EDITOR_RULES_H

#include "editor/editor.h"

extern const rls_rule rls_rule_rls; /* editor/rls.c */

#endif

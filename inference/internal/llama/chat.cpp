// The chat layer of llama.cpp's common library: prompt, grammar and parser derived from a model's own template.
#include "guard.hpp"

#include <memory>
#include <stdexcept>
#include <string>

#include "chat.h"
#include "json-schema-to-grammar.h"
#include "json.h"

using json = common_json;

struct hf_chat {
    common_chat_templates_ptr templates;
};

namespace {

std::string text_of(const json & j, const char * key) {
    return j.contains(key) ? j.at(key).get<std::string>() : std::string();
}

bool flag_of(const json & j, const char * key, bool absent) {
    return j.contains(key) ? j.at(key).get<bool>() : absent;
}

common_chat_templates_inputs inputs_of(const json & r) {
    common_chat_templates_inputs in;
    in.messages              = common_chat_msgs_parse_oaicompat(r.at("messages"));
    in.add_generation_prompt = flag_of(r, "add_generation_prompt", true);
    in.parallel_tool_calls   = flag_of(r, "parallel_tool_calls", false);
    in.enable_thinking       = flag_of(r, "enable_thinking", true);
    in.json_schema           = text_of(r, "json_schema");
    in.grammar               = text_of(r, "grammar");
    in.reasoning_format      = COMMON_REASONING_FORMAT_DEEPSEEK;
    if (r.contains("tools")) {
        in.tools = common_chat_tools_parse_oaicompat(r.at("tools"));
    }
    if (r.contains("tool_choice")) {
        in.tool_choice = common_chat_tool_choice_parse_oaicompat(r.at("tool_choice").get<std::string>());
    }
    if (r.contains("kwargs")) {
        for (const auto & item : r.at("kwargs").items()) {
            in.chat_template_kwargs[item.key()] = item.value().dump();
        }
    }
    return in;
}

json list_of(const std::vector<std::string> & v) {
    json a = json::array();
    for (const auto & s : v) {
        a.push_back(s);
    }
    return a;
}

json params_of(const common_chat_params & p) {
    json triggers = json::array();
    for (const auto & t : p.grammar_triggers) {
        json one      = json::object();
        one["type"]   = int(t.type);
        one["value"]  = t.value;
        one["token"]  = int(t.token);
        triggers.push_back(one);
    }
    json out                  = json::object();
    out["prompt"]             = p.prompt;
    out["format"]             = int(p.format);
    out["grammar"]            = p.grammar;
    out["grammar_lazy"]       = p.grammar_lazy;
    out["triggers"]           = triggers;
    out["generation_prompt"]  = p.generation_prompt;
    out["supports_thinking"]  = p.supports_thinking;
    out["thinking_start"]     = p.thinking_start_tag;
    out["thinking_ends"]      = list_of(p.thinking_end_tags);
    out["preserved_tokens"]   = list_of(p.preserved_tokens);
    out["stops"]              = list_of(p.additional_stops);
    out["parser"]             = p.parser;
    return out;
}

json message_of(const common_chat_msg & m) {
    json calls = json::array();
    for (const auto & c : m.tool_calls) {
        json one         = json::object();
        one["name"]      = c.name;
        one["arguments"] = c.arguments;
        one["id"]        = c.id;
        calls.push_back(one);
    }
    json out         = json::object();
    out["content"]   = m.render_content();
    out["reasoning"] = m.reasoning_content;
    out["calls"]     = calls;
    return out;
}

}  // namespace

hf_chat * hf_chat_new(const struct llama_model * model, const char * tmpl, const char * bos, const char * eos,
                      hf_budget budget, hf_text * err) {
    std::unique_ptr<hf_chat> chat;
    const int rc = hf::bounded(budget, err, [&] {
        if (model == nullptr && *tmpl == 0) {
            throw std::invalid_argument("neither a model nor a template");
        }
        chat            = std::make_unique<hf_chat>();
        chat->templates = common_chat_templates_init(model, tmpl, bos, eos);
    });
    return rc == 0 ? chat.release() : nullptr;
}

void hf_chat_free(hf_chat * chat) { delete chat; }

int hf_chat_source(const hf_chat * chat, hf_text * out, hf_text * err) {
    return hf::guarded(err, [&] { hf::set_text(out, common_chat_templates_source(chat->templates.get())); });
}

int hf_chat_caps(const hf_chat * chat, hf_text * out, hf_text * err) {
    return hf::guarded(err, [&] {
        json caps = json::object();
        for (const auto & c : common_chat_templates_get_caps(chat->templates.get())) {
            caps[c.first] = c.second;
        }
        hf::set_text(out, caps.dump());
    });
}

int hf_chat_apply(const hf_chat * chat, const char * request, hf_budget budget, hf_text * out, hf_text * err) {
    return hf::bounded(budget, err, [&] {
        const auto in = inputs_of(json::parse(request));
        hf::set_text(out, params_of(common_chat_templates_apply(chat->templates.get(), in)).dump_safe());
    });
}

int hf_chat_parse(const char * request, const char * text, size_t size, int partial, hf_budget budget, hf_text * out,
                  hf_text * err) {
    return hf::bounded(budget, err, [&] {
        const json                r = json::parse(request);
        common_chat_parser_params p;
        p.format            = static_cast<common_chat_format>(r.at("format").get<int>());
        p.reasoning_format  = COMMON_REASONING_FORMAT_DEEPSEEK;
        p.generation_prompt = text_of(r, "generation_prompt");
        const auto parser   = text_of(r, "parser");
        if (!parser.empty()) {
            p.parser.load(parser);
        }
        hf::set_text(out, message_of(common_chat_parse(std::string(text, size), partial != 0, p)).dump_safe());
    });
}

int hf_schema_to_grammar(const char * schema, hf_budget budget, hf_text * out, hf_text * err) {
    return hf::bounded(budget, err, [&] { hf::set_text(out, json_schema_to_grammar(json::parse(schema), true)); });
}

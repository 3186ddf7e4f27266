texts! {
    /// Installs and upgrades of apps, and the catalogs that they come from.
    Apps {
        makes: "What will be created", "将创建的内容";
        waits_for: "Waits for", "等待";
        volume: "volume", "卷";
        network: "network", "网络";
        needs_secret: "needed from this environment's secrets", "需要此环境中的机密";
        takeover: "Parts of this could take over the host: it needs the role Member.", "此应用的部分内容可能接管主机：需要“成员”角色。";
        answers_missing: "Some questions still need an answer.", "还有问题需要回答。";
        readme: "About this app", "关于此应用";
        deprecated: "This app is no longer kept up, and should not be installed anew.", "此应用已不再维护，不建议新安装。";
        app_version: "App version", "应用版本";
        source: "Source", "源代码";
        maintainer: "Maintainer", "维护者";
        no_templates: "There are no apps yet", "还没有应用";
        no_templates_text: "An administrator adds catalogs that apps come from.", "由管理员添加应用目录来源。";
        default_value: "Default: {value}", "默认值：{value}";
        choose: "Choose…", "请选择…";
        answer_kept: "Kept as it is when left empty.", "留空则保持不变。";
        upgrade_title: "Upgrade {name}", "升级 {name}";
        no_template: "This stack is not from a catalog: change its Compose text instead.", "此应用栈并非来自应用目录：请直接修改其 Compose 文本。";
        newest: "Version {version} is the newest one.", "版本 {version} 已是最新。";
        version_and_answers: "Version and answers", "版本与回答";
        conflicts: "Conflicts", "冲突";
        removed: "(removed)", "（已删除）";
        location: "Location", "位置";
        builtin: "Built in", "内置";
        directory: "Folder on the server", "服务器上的文件夹";
        git: "Git", "Git";
        templates: "{n} app|{n} apps", "{n} 个应用";
        problems: "{n} problem in its files|{n} problems in its files", "文件中有 {n} 个问题";
        unreadable: "It could not be read the last time; its apps are those of the time before.", "最近一次读取失败；当前应用来自上一次读取。";
        checked: "Last checked", "最近检查";
        remove_catalog: "Remove catalog", "移除目录来源";
        remove_catalog_text: "The apps of {name} can no longer be installed. Stacks that were installed from it go on running, without upgrades.", "将无法再安装 {name} 中的应用。已安装的应用栈会继续运行，但不再提供升级。";
        secret: "Password, token or SSH key", "密码、令牌或 SSH 私钥";
        secret_help: "Only for repositories that are not public. Stored encrypted, and never shown again.", "仅用于非公开仓库。加密存储，不再显示。";
        secret_kept: "One is stored; leave this empty to keep it.", "已存储；留空则保持不变。";
    }
}

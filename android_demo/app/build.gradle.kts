import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    alias(libs.plugins.android.application)
    alias(libs.plugins.kotlin.android)
}

android {
    namespace = "org.edgekd.app"
    compileSdk = libs.versions.compileSdk.get().toInt()

    defaultConfig {
        applicationId = "org.edgekd.app"
        minSdk = libs.versions.minSdk.get().toInt()
        targetSdk = libs.versions.targetSdk.get().toInt()
        versionCode = 1
        versionName = "0.1.0"
        // What the app says its engines are; the versions of the dependencies below, written once.
        buildConfigField("String", "LITERT_VERSION", "\"${libs.versions.litert.get()}\"")
        buildConfigField("String", "TENSORFLOW_LITE_VERSION", "\"${libs.versions.tensorflow.lite.get()}\"")
    }

    // The same app on two engines: LiteRT's CompiledModel (CPU and GPU), or the older TensorFlow Lite
    // interpreter (CPU), the newest that does not need Google's Maven repository.
    flavorDimensions += "engine"
    productFlavors {
        create("litert") {
            dimension = "engine"
            isDefault = true
        }
        create("interpreter") {
            dimension = "engine"
            applicationIdSuffix = ".interpreter"
        }
    }

    buildTypes {
        release {
            isMinifyEnabled = true
            proguardFiles(getDefaultProguardFile("proguard-android-optimize.txt"), "proguard-rules.pro")
        }
    }

    buildFeatures {
        buildConfig = true
    }

    androidResources {
        noCompress += "tflite" // an engine maps the file; it cannot map what is compressed
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }
}

kotlin {
    compilerOptions {
        jvmTarget = JvmTarget.JVM_1_8
    }
}

dependencies {
    implementation(project(":core"))
    "litertImplementation"(libs.litert)
    "litertImplementation"(libs.litert.gpu)
    "interpreterImplementation"(libs.tensorflow.lite)
}
